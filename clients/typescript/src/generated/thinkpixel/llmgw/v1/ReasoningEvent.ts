// Original file: proto/thinkpixel/llmgw/v1/chat_service.proto


/**
 * More of what the model thinks.
 */
export interface ReasoningEvent {
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
 * More of what the model thinks.
 */
export interface ReasoningEvent__Output {
  /**
   * Of the choice.
   */
  'index': (number);
  /**
   * To be appended.
   */
  'text': (string);
}
