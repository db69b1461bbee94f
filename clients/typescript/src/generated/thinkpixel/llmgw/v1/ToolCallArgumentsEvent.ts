// Original file: proto/thinkpixel/llmgw/v1/chat_service.proto


/**
 * More of a call's arguments.
 */
export interface ToolCallArgumentsEvent {
  /**
   * Of the choice.
   */
  'index'?: (number);
  /**
   * Of the call.
   */
  'toolIndex'?: (number);
  /**
   * To be appended: the whole is a JSON object as text.
   */
  'arguments'?: (string);
}

/**
 * More of a call's arguments.
 */
export interface ToolCallArgumentsEvent__Output {
  /**
   * Of the choice.
   */
  'index': (number);
  /**
   * Of the call.
   */
  'toolIndex': (number);
  /**
   * To be appended: the whole is a JSON object as text.
   */
  'arguments': (string);
}
