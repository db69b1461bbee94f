// Original file: proto/thinkpixel/llmgw/v1/chat.proto

import type { ToolChoiceMode as _thinkpixel_llmgw_v1_ToolChoiceMode, ToolChoiceMode__Output as _thinkpixel_llmgw_v1_ToolChoiceMode__Output } from '../../../thinkpixel/llmgw/v1/ToolChoiceMode.ts';

/**
 * Whether the model calls a function.
 */
export interface ToolChoice {
  /**
   * In general.
   */
  'mode'?: (_thinkpixel_llmgw_v1_ToolChoiceMode);
  /**
   * It must call the function of this name.
   */
  'functionName'?: (string);
  /**
   * Exactly one of them.
   */
  'choice'?: "mode"|"functionName";
}

/**
 * Whether the model calls a function.
 */
export interface ToolChoice__Output {
  /**
   * In general.
   */
  'mode'?: (_thinkpixel_llmgw_v1_ToolChoiceMode__Output);
  /**
   * It must call the function of this name.
   */
  'functionName'?: (string);
  /**
   * Exactly one of them.
   */
  'choice'?: "mode"|"functionName";
}
