// Original file: proto/thinkpixel/llmgw/v1/chat.proto

/**
 * Whether the model calls functions.
 */
export const ToolChoiceMode = {
  /**
   * Never sent; not accepted.
   */
  TOOL_CHOICE_MODE_UNSPECIFIED: 'TOOL_CHOICE_MODE_UNSPECIFIED',
  /**
   * It may.
   */
  TOOL_CHOICE_MODE_AUTO: 'TOOL_CHOICE_MODE_AUTO',
  /**
   * It must not.
   */
  TOOL_CHOICE_MODE_NONE: 'TOOL_CHOICE_MODE_NONE',
  /**
   * It must.
   */
  TOOL_CHOICE_MODE_REQUIRED: 'TOOL_CHOICE_MODE_REQUIRED',
} as const;

/**
 * Whether the model calls functions.
 */
export type ToolChoiceMode =
  /**
   * Never sent; not accepted.
   */
  | 'TOOL_CHOICE_MODE_UNSPECIFIED'
  | 0
  /**
   * It may.
   */
  | 'TOOL_CHOICE_MODE_AUTO'
  | 1
  /**
   * It must not.
   */
  | 'TOOL_CHOICE_MODE_NONE'
  | 2
  /**
   * It must.
   */
  | 'TOOL_CHOICE_MODE_REQUIRED'
  | 3

/**
 * Whether the model calls functions.
 */
export type ToolChoiceMode__Output = typeof ToolChoiceMode[keyof typeof ToolChoiceMode]
