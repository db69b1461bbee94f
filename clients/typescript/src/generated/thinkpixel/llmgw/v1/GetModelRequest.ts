// Original file: proto/thinkpixel/llmgw/v1/model_service.proto


/**
 * Asks for one model.
 */
export interface GetModelRequest {
  /**
   * As a request would name it: an alias, or `provider/model`.
   */
  'name'?: (string);
}

/**
 * Asks for one model.
 */
export interface GetModelRequest__Output {
  /**
   * As a request would name it: an alias, or `provider/model`.
   */
  'name': (string);
}
