// Original file: proto/thinkpixel/llmgw/v1/model_service.proto


/**
 * Asks for one page of models.
 */
export interface ListModelsRequest {
  /**
   * How many models; 0 means 50, and more than 100 is taken as 100.
   */
  'pageSize'?: (number);
  /**
   * The `next_page_token` of the page before; empty for the first page.
   */
  'pageToken'?: (string);
}

/**
 * Asks for one page of models.
 */
export interface ListModelsRequest__Output {
  /**
   * How many models; 0 means 50, and more than 100 is taken as 100.
   */
  'pageSize': (number);
  /**
   * The `next_page_token` of the page before; empty for the first page.
   */
  'pageToken': (string);
}
