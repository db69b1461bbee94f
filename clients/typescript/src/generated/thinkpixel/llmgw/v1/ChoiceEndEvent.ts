// Original file: proto/thinkpixel/llmgw/v1/chat_service.proto

import type { FinishReason as _thinkpixel_llmgw_v1_FinishReason, FinishReason__Output as _thinkpixel_llmgw_v1_FinishReason__Output } from '../../../thinkpixel/llmgw/v1/FinishReason.ts';

/**
 * A choice is at its end.
 */
export interface ChoiceEndEvent {
  /**
   * Of the choice.
   */
  'index'?: (number);
  /**
   * Why.
   */
  'finishReason'?: (_thinkpixel_llmgw_v1_FinishReason);
}

/**
 * A choice is at its end.
 */
export interface ChoiceEndEvent__Output {
  /**
   * Of the choice.
   */
  'index': (number);
  /**
   * Why.
   */
  'finishReason': (_thinkpixel_llmgw_v1_FinishReason__Output);
}
