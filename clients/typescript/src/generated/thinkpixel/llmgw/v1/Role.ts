// Original file: proto/thinkpixel/llmgw/v1/chat.proto

/**
 * Who says a message.
 */
export const Role = {
  /**
   * Never sent; not accepted.
   */
  ROLE_UNSPECIFIED: 'ROLE_UNSPECIFIED',
  /**
   * Instructions.
   */
  ROLE_SYSTEM: 'ROLE_SYSTEM',
  /**
   * The newer name of instructions.
   */
  ROLE_DEVELOPER: 'ROLE_DEVELOPER',
  /**
   * The person, or the service, that asks.
   */
  ROLE_USER: 'ROLE_USER',
  /**
   * The model.
   */
  ROLE_ASSISTANT: 'ROLE_ASSISTANT',
  /**
   * The result of a function the model has called.
   */
  ROLE_TOOL: 'ROLE_TOOL',
} as const;

/**
 * Who says a message.
 */
export type Role =
  /**
   * Never sent; not accepted.
   */
  | 'ROLE_UNSPECIFIED'
  | 0
  /**
   * Instructions.
   */
  | 'ROLE_SYSTEM'
  | 1
  /**
   * The newer name of instructions.
   */
  | 'ROLE_DEVELOPER'
  | 2
  /**
   * The person, or the service, that asks.
   */
  | 'ROLE_USER'
  | 3
  /**
   * The model.
   */
  | 'ROLE_ASSISTANT'
  | 4
  /**
   * The result of a function the model has called.
   */
  | 'ROLE_TOOL'
  | 5

/**
 * Who says a message.
 */
export type Role__Output = typeof Role[keyof typeof Role]
