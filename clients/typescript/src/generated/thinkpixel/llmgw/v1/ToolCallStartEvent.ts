// Original file: proto/thinkpixel/llmgw/v1/chat_service.proto

import type { Struct as _google_protobuf_Struct, Struct__Output as _google_protobuf_Struct__Output } from '../../../google/protobuf/Struct.ts';

/**
 * The model calls a function.
 */
export interface ToolCallStartEvent {
  /**
   * Of the choice.
   */
  'index'?: (number);
  /**
   * Numbers the calls of a choice, from 0.
   */
  'toolIndex'?: (number);
  /**
   * Names the call in the message with its result.
   */
  'id'?: (string);
  /**
   * Of the function.
   */
  'name'?: (string);
  /**
   * Members beside it in OpenAI's form. Send them back with the call.
   */
  'extra'?: (_google_protobuf_Struct | null);
}

/**
 * The model calls a function.
 */
export interface ToolCallStartEvent__Output {
  /**
   * Of the choice.
   */
  'index': (number);
  /**
   * Numbers the calls of a choice, from 0.
   */
  'toolIndex': (number);
  /**
   * Names the call in the message with its result.
   */
  'id': (string);
  /**
   * Of the function.
   */
  'name': (string);
  /**
   * Members beside it in OpenAI's form. Send them back with the call.
   */
  'extra': (_google_protobuf_Struct__Output | null);
}
