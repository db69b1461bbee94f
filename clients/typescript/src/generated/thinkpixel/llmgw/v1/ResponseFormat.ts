// Original file: proto/thinkpixel/llmgw/v1/chat.proto

import type { TextFormat as _thinkpixel_llmgw_v1_TextFormat, TextFormat__Output as _thinkpixel_llmgw_v1_TextFormat__Output } from '../../../thinkpixel/llmgw/v1/TextFormat.ts';
import type { JsonObjectFormat as _thinkpixel_llmgw_v1_JsonObjectFormat, JsonObjectFormat__Output as _thinkpixel_llmgw_v1_JsonObjectFormat__Output } from '../../../thinkpixel/llmgw/v1/JsonObjectFormat.ts';
import type { JsonSchemaFormat as _thinkpixel_llmgw_v1_JsonSchemaFormat, JsonSchemaFormat__Output as _thinkpixel_llmgw_v1_JsonSchemaFormat__Output } from '../../../thinkpixel/llmgw/v1/JsonSchemaFormat.ts';

/**
 * What the text of an answer must look like.
 */
export interface ResponseFormat {
  /**
   * Anything.
   */
  'text'?: (_thinkpixel_llmgw_v1_TextFormat | null);
  /**
   * JSON of any shape.
   */
  'jsonObject'?: (_thinkpixel_llmgw_v1_JsonObjectFormat | null);
  /**
   * JSON by a schema.
   */
  'jsonSchema'?: (_thinkpixel_llmgw_v1_JsonSchemaFormat | null);
  /**
   * Exactly one of them.
   */
  'format'?: "text"|"jsonObject"|"jsonSchema";
}

/**
 * What the text of an answer must look like.
 */
export interface ResponseFormat__Output {
  /**
   * Anything.
   */
  'text'?: (_thinkpixel_llmgw_v1_TextFormat__Output | null);
  /**
   * JSON of any shape.
   */
  'jsonObject'?: (_thinkpixel_llmgw_v1_JsonObjectFormat__Output | null);
  /**
   * JSON by a schema.
   */
  'jsonSchema'?: (_thinkpixel_llmgw_v1_JsonSchemaFormat__Output | null);
  /**
   * Exactly one of them.
   */
  'format'?: "text"|"jsonObject"|"jsonSchema";
}
