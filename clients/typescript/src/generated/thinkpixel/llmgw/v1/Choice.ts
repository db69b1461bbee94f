// Original file: proto/thinkpixel/llmgw/v1/chat_service.proto

import type { Message as _thinkpixel_llmgw_v1_Message, Message__Output as _thinkpixel_llmgw_v1_Message__Output } from '../../../thinkpixel/llmgw/v1/Message.ts';
import type { FinishReason as _thinkpixel_llmgw_v1_FinishReason, FinishReason__Output as _thinkpixel_llmgw_v1_FinishReason__Output } from '../../../thinkpixel/llmgw/v1/FinishReason.ts';
import type { Struct as _google_protobuf_Struct, Struct__Output as _google_protobuf_Struct__Output } from '../../../google/protobuf/Struct.ts';

/**
 * One of the answers to a conversation.
 */
export interface Choice {
  /**
   * From 0.
   */
  'index'?: (number);
  /**
   * What the model says.
   */
  'message'?: (_thinkpixel_llmgw_v1_Message | null);
  /**
   * Why it ended.
   */
  'finishReason'?: (_thinkpixel_llmgw_v1_FinishReason);
  /**
   * In OpenAI's form; absent unless asked for.
   */
  'logprobs'?: (_google_protobuf_Struct | null);
}

/**
 * One of the answers to a conversation.
 */
export interface Choice__Output {
  /**
   * From 0.
   */
  'index': (number);
  /**
   * What the model says.
   */
  'message': (_thinkpixel_llmgw_v1_Message__Output | null);
  /**
   * Why it ended.
   */
  'finishReason': (_thinkpixel_llmgw_v1_FinishReason__Output);
  /**
   * In OpenAI's form; absent unless asked for.
   */
  'logprobs': (_google_protobuf_Struct__Output | null);
}
