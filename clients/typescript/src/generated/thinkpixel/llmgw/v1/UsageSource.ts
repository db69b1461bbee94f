// Original file: proto/thinkpixel/llmgw/v1/common.proto

/**
 * Who has counted what a call consumed.
 */
export const UsageSource = {
  /**
   * Never sent.
   */
  USAGE_SOURCE_UNSPECIFIED: 'USAGE_SOURCE_UNSPECIFIED',
  /**
   * The provider reported it.
   */
  USAGE_SOURCE_PROVIDER: 'USAGE_SOURCE_PROVIDER',
  /**
   * The gateway counted it, for the provider reported nothing.
   */
  USAGE_SOURCE_COUNTED: 'USAGE_SOURCE_COUNTED',
  /**
   * The gateway assumed it, for nobody could count.
   */
  USAGE_SOURCE_ESTIMATED: 'USAGE_SOURCE_ESTIMATED',
  /**
   * Nothing was consumed.
   */
  USAGE_SOURCE_NONE: 'USAGE_SOURCE_NONE',
} as const;

/**
 * Who has counted what a call consumed.
 */
export type UsageSource =
  /**
   * Never sent.
   */
  | 'USAGE_SOURCE_UNSPECIFIED'
  | 0
  /**
   * The provider reported it.
   */
  | 'USAGE_SOURCE_PROVIDER'
  | 1
  /**
   * The gateway counted it, for the provider reported nothing.
   */
  | 'USAGE_SOURCE_COUNTED'
  | 2
  /**
   * The gateway assumed it, for nobody could count.
   */
  | 'USAGE_SOURCE_ESTIMATED'
  | 3
  /**
   * Nothing was consumed.
   */
  | 'USAGE_SOURCE_NONE'
  | 4

/**
 * Who has counted what a call consumed.
 */
export type UsageSource__Output = typeof UsageSource[keyof typeof UsageSource]
