// Original file: proto/thinkpixel/llmgw/v1/chat.proto

import type { InlineData as _thinkpixel_llmgw_v1_InlineData, InlineData__Output as _thinkpixel_llmgw_v1_InlineData__Output } from '../../../thinkpixel/llmgw/v1/InlineData.ts';

/**
 * A document.
 */
export interface File {
  /**
   * The provider's id of a file that was uploaded to it.
   */
  'fileId'?: (string);
  /**
   * The document itself.
   */
  'inline'?: (_thinkpixel_llmgw_v1_InlineData | null);
  /**
   * What the model is told it is called.
   */
  'filename'?: (string);
  /**
   * Exactly one of them.
   */
  'source'?: "fileId"|"inline";
}

/**
 * A document.
 */
export interface File__Output {
  /**
   * The provider's id of a file that was uploaded to it.
   */
  'fileId'?: (string);
  /**
   * The document itself.
   */
  'inline'?: (_thinkpixel_llmgw_v1_InlineData__Output | null);
  /**
   * What the model is told it is called.
   */
  'filename': (string);
  /**
   * Exactly one of them.
   */
  'source'?: "fileId"|"inline";
}
