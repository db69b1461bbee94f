// Original file: proto/thinkpixel/llmgw/v1/embedding_service.proto


/**
 * The vector of one input.
 */
export interface Embedding {
  /**
   * As many as the model makes, in single precision.
   */
  'values'?: (number | string)[];
}

/**
 * The vector of one input.
 */
export interface Embedding__Output {
  /**
   * As many as the model makes, in single precision.
   */
  'values': (number)[];
}
