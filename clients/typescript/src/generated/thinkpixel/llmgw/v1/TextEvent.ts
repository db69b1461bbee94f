// Original file: proto/thinkpixel/llmgw/v1/chat_service.proto

import type { Struct as _google_protobuf_Struct, Struct__Output as _google_protobuf_Struct__Output } from '../../../google/protobuf/Struct.ts';

/**
 * More text of the answer.
 */
export interface TextEvent {
  /**
   * Of the choice.
   */
  'index'?: (number);
  /**
   * To be appended.
   */
  'text'?: (string);
  /**
   * Of the tokens of this text, in OpenAI's form; absent unless asked for.
   */
  'logprobs'?: (_google_protobuf_Struct | null);
}

/**
 * More text of the answer.
 */
export interface TextEvent__Output {
  /**
   * Of the choice.
   */
  'index': (number);
  /**
   * To be appended.
   */
  'text': (string);
  /**
   * Of the tokens of this text, in OpenAI's form; absent unless asked for.
   */
  'logprobs': (_google_protobuf_Struct__Output | null);
}
