// Original file: proto/thinkpixel/llmgw/v1/chat_service.proto

import type { ChatRequest as _thinkpixel_llmgw_v1_ChatRequest, ChatRequest__Output as _thinkpixel_llmgw_v1_ChatRequest__Output } from '../../../thinkpixel/llmgw/v1/ChatRequest.ts';

/**
 * Asks for a whole answer.
 */
export interface CompleteRequest {
  /**
   * The request. Required.
   */
  'chat'?: (_thinkpixel_llmgw_v1_ChatRequest | null);
}

/**
 * Asks for a whole answer.
 */
export interface CompleteRequest__Output {
  /**
   * The request. Required.
   */
  'chat': (_thinkpixel_llmgw_v1_ChatRequest__Output | null);
}
