// Original file: proto/thinkpixel/llmgw/v1/embedding_service.proto


/**
 * One input that is tokens already.
 */
export interface TokenInput {
  /**
   * Ids in the model's vocabulary.
   */
  'ids'?: (number)[];
}

/**
 * One input that is tokens already.
 */
export interface TokenInput__Output {
  /**
   * Ids in the model's vocabulary.
   */
  'ids': (number)[];
}
