// Original file: proto/thinkpixel/llmgw/v1/chat.proto

/**
 * Why an answer ended.
 */
export const FinishReason = {
  /**
   * Never sent.
   */
  FINISH_REASON_UNSPECIFIED: 'FINISH_REASON_UNSPECIFIED',
  /**
   * It was at its end, or at a stop text.
   */
  FINISH_REASON_STOP: 'FINISH_REASON_STOP',
  /**
   * It had as many tokens as it may have.
   */
  FINISH_REASON_LENGTH: 'FINISH_REASON_LENGTH',
  /**
   * The model waits for the results of the functions it called.
   */
  FINISH_REASON_TOOL_CALLS: 'FINISH_REASON_TOOL_CALLS',
  /**
   * The provider held something back.
   */
  FINISH_REASON_CONTENT_FILTER: 'FINISH_REASON_CONTENT_FILTER',
} as const;

/**
 * Why an answer ended.
 */
export type FinishReason =
  /**
   * Never sent.
   */
  | 'FINISH_REASON_UNSPECIFIED'
  | 0
  /**
   * It was at its end, or at a stop text.
   */
  | 'FINISH_REASON_STOP'
  | 1
  /**
   * It had as many tokens as it may have.
   */
  | 'FINISH_REASON_LENGTH'
  | 2
  /**
   * The model waits for the results of the functions it called.
   */
  | 'FINISH_REASON_TOOL_CALLS'
  | 3
  /**
   * The provider held something back.
   */
  | 'FINISH_REASON_CONTENT_FILTER'
  | 4

/**
 * Why an answer ended.
 */
export type FinishReason__Output = typeof FinishReason[keyof typeof FinishReason]
