// Original file: proto/thinkpixel/llmgw/v1/chat_service.proto

import type { ChatRequest as _thinkpixel_llmgw_v1_ChatRequest, ChatRequest__Output as _thinkpixel_llmgw_v1_ChatRequest__Output } from '../../../thinkpixel/llmgw/v1/ChatRequest.ts';

/**
 * Asks for an answer piece by piece.
 */
export interface StreamRequest {
  /**
   * The request. Required.
   */
  'chat'?: (_thinkpixel_llmgw_v1_ChatRequest | null);
}

/**
 * Asks for an answer piece by piece.
 */
export interface StreamRequest__Output {
  /**
   * The request. Required.
   */
  'chat': (_thinkpixel_llmgw_v1_ChatRequest__Output | null);
}
