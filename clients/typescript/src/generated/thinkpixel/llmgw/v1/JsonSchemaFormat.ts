// Original file: proto/thinkpixel/llmgw/v1/chat.proto

import type { Struct as _google_protobuf_Struct, Struct__Output as _google_protobuf_Struct__Output } from '../../../google/protobuf/Struct.ts';

/**
 * JSON by a schema.
 */
export interface JsonSchemaFormat {
  /**
   * What the model is told it is called. Required.
   */
  'name'?: (string);
  /**
   * What it is for.
   */
  'description'?: (string);
  /**
   * JSON Schema. Required.
   */
  'schema'?: (_google_protobuf_Struct | null);
  /**
   * Whether the answer must keep to the schema exactly.
   */
  'strict'?: (boolean);
  '_strict'?: "strict";
}

/**
 * JSON by a schema.
 */
export interface JsonSchemaFormat__Output {
  /**
   * What the model is told it is called. Required.
   */
  'name': (string);
  /**
   * What it is for.
   */
  'description': (string);
  /**
   * JSON Schema. Required.
   */
  'schema': (_google_protobuf_Struct__Output | null);
  /**
   * Whether the answer must keep to the schema exactly.
   */
  'strict'?: (boolean);
  '_strict'?: "strict";
}
