// Original file: proto/thinkpixel/llmgw/v1/chat_service.proto

import type { CallSummary as _thinkpixel_llmgw_v1_CallSummary, CallSummary__Output as _thinkpixel_llmgw_v1_CallSummary__Output } from '../../../thinkpixel/llmgw/v1/CallSummary.ts';

/**
 * The answer is whole and accounted for.
 */
export interface EndEvent {
  /**
   * What the call came to.
   */
  'summary'?: (_thinkpixel_llmgw_v1_CallSummary | null);
}

/**
 * The answer is whole and accounted for.
 */
export interface EndEvent__Output {
  /**
   * What the call came to.
   */
  'summary': (_thinkpixel_llmgw_v1_CallSummary__Output | null);
}
