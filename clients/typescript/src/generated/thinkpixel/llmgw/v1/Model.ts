// Original file: proto/thinkpixel/llmgw/v1/model_service.proto

import type { Price as _thinkpixel_llmgw_v1_Price, Price__Output as _thinkpixel_llmgw_v1_Price__Output } from '../../../thinkpixel/llmgw/v1/Price.ts';
import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../../../google/protobuf/Timestamp.ts';
import type { Long } from '@grpc/proto-loader';

/**
 * Something a request can name as its model.
 */
export interface Model {
  /**
   * As a request names it: an alias, or `provider/model`.
   */
  'name'?: (string);
  /**
   * The provider that serves it; empty for an alias, which may have several.
   */
  'provider'?: (string);
  /**
   * What it is for, in the catalog's words: `chat`, `embedding`, `image_generation`.
   */
  'mode'?: (string);
  /**
   * How many tokens prompt and answer may have together; absent when unknown.
   */
  'contextWindowTokens'?: (number | string | Long);
  /**
   * How many tokens an answer may have; absent when unknown.
   */
  'maxOutputTokens'?: (number | string | Long);
  /**
   * The price in force; absent when unknown, which does not mean free, and for an alias, whose targets have their own.
   */
  'price'?: (_thinkpixel_llmgw_v1_Price | null);
  /**
   * When it became known to the gateway.
   */
  'createTime'?: (_google_protobuf_Timestamp | null);
  '_contextWindowTokens'?: "contextWindowTokens";
  '_maxOutputTokens'?: "maxOutputTokens";
}

/**
 * Something a request can name as its model.
 */
export interface Model__Output {
  /**
   * As a request names it: an alias, or `provider/model`.
   */
  'name': (string);
  /**
   * The provider that serves it; empty for an alias, which may have several.
   */
  'provider': (string);
  /**
   * What it is for, in the catalog's words: `chat`, `embedding`, `image_generation`.
   */
  'mode': (string);
  /**
   * How many tokens prompt and answer may have together; absent when unknown.
   */
  'contextWindowTokens'?: (string);
  /**
   * How many tokens an answer may have; absent when unknown.
   */
  'maxOutputTokens'?: (string);
  /**
   * The price in force; absent when unknown, which does not mean free, and for an alias, whose targets have their own.
   */
  'price': (_thinkpixel_llmgw_v1_Price__Output | null);
  /**
   * When it became known to the gateway.
   */
  'createTime': (_google_protobuf_Timestamp__Output | null);
  '_contextWindowTokens'?: "contextWindowTokens";
  '_maxOutputTokens'?: "maxOutputTokens";
}
