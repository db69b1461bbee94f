// Original file: proto/thinkpixel/llmgw/v1/chat_service.proto


/**
 * More of why the model will not answer.
 */
export interface RefusalEvent {
  /**
   * Of the choice.
   */
  'index'?: (number);
  /**
   * To be appended.
   */
  'text'?: (string);
}

/**
 * More of why the model will not answer.
 */
export interface RefusalEvent__Output {
  /**
   * Of the choice.
   */
  'index': (number);
  /**
   * To be appended.
   */
  'text': (string);
}
