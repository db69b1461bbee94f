// Original file: proto/thinkpixel/llmgw/v1/chat.proto

import type { Struct as _google_protobuf_Struct, Struct__Output as _google_protobuf_Struct__Output } from '../../../google/protobuf/Struct.ts';

/**
 * A function the model called.
 */
export interface ToolCall {
  /**
   * Names the call in the message with its result.
   */
  'id'?: (string);
  /**
   * Of the function.
   */
  'name'?: (string);
  /**
   * A JSON object as text, which a model may get wrong.
   */
  'arguments'?: (string);
  /**
   * Members beside it in OpenAI's form, such as `extra_content`. Send them back with the call.
   */
  'extra'?: (_google_protobuf_Struct | null);
}

/**
 * A function the model called.
 */
export interface ToolCall__Output {
  /**
   * Names the call in the message with its result.
   */
  'id': (string);
  /**
   * Of the function.
   */
  'name': (string);
  /**
   * A JSON object as text, which a model may get wrong.
   */
  'arguments': (string);
  /**
   * Members beside it in OpenAI's form, such as `extra_content`. Send them back with the call.
   */
  'extra': (_google_protobuf_Struct__Output | null);
}
