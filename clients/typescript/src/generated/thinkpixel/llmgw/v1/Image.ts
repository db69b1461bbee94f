// Original file: proto/thinkpixel/llmgw/v1/chat.proto

import type { InlineData as _thinkpixel_llmgw_v1_InlineData, InlineData__Output as _thinkpixel_llmgw_v1_InlineData__Output } from '../../../thinkpixel/llmgw/v1/InlineData.ts';

/**
 * An image.
 */
export interface Image {
  /**
   * Where the provider fetches it; the gateway never does.
   */
  'url'?: (string);
  /**
   * The image itself.
   */
  'inline'?: (_thinkpixel_llmgw_v1_InlineData | null);
  /**
   * How closely it is looked at: `auto`, `low` or `high`.
   */
  'detail'?: (string);
  /**
   * Exactly one of them.
   */
  'source'?: "url"|"inline";
}

/**
 * An image.
 */
export interface Image__Output {
  /**
   * Where the provider fetches it; the gateway never does.
   */
  'url'?: (string);
  /**
   * The image itself.
   */
  'inline'?: (_thinkpixel_llmgw_v1_InlineData__Output | null);
  /**
   * How closely it is looked at: `auto`, `low` or `high`.
   */
  'detail': (string);
  /**
   * Exactly one of them.
   */
  'source'?: "url"|"inline";
}
