// Original file: proto/thinkpixel/llmgw/v1/chat.proto

import type { Struct as _google_protobuf_Struct, Struct__Output as _google_protobuf_Struct__Output } from '../../../google/protobuf/Struct.ts';

/**
 * A function of the caller.
 */
export interface FunctionTool {
  /**
   * What the model calls it. Required.
   */
  'name'?: (string);
  /**
   * What it does and when it helps.
   */
  'description'?: (string);
  /**
   * JSON Schema of its arguments; absent for a function without any.
   */
  'parameters'?: (_google_protobuf_Struct | null);
  /**
   * Whether arguments must keep to the schema exactly.
   */
  'strict'?: (boolean);
  '_strict'?: "strict";
}

/**
 * A function of the caller.
 */
export interface FunctionTool__Output {
  /**
   * What the model calls it. Required.
   */
  'name': (string);
  /**
   * What it does and when it helps.
   */
  'description': (string);
  /**
   * JSON Schema of its arguments; absent for a function without any.
   */
  'parameters': (_google_protobuf_Struct__Output | null);
  /**
   * Whether arguments must keep to the schema exactly.
   */
  'strict'?: (boolean);
  '_strict'?: "strict";
}
