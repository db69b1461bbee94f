// Original file: proto/thinkpixel/llmgw/v1/common.proto

/**
 * The tier a provider serves a request in, where prices depend on it.
 */
export const ServiceTier = {
  /**
   * Never sent.
   */
  SERVICE_TIER_UNSPECIFIED: 'SERVICE_TIER_UNSPECIFIED',
  /**
   * What one gets without asking.
   */
  SERVICE_TIER_DEFAULT: 'SERVICE_TIER_DEFAULT',
  /**
   * Cheaper and slower.
   */
  SERVICE_TIER_FLEX: 'SERVICE_TIER_FLEX',
  /**
   * Dearer and faster.
   */
  SERVICE_TIER_PRIORITY: 'SERVICE_TIER_PRIORITY',
  /**
   * Answered within hours.
   */
  SERVICE_TIER_BATCH: 'SERVICE_TIER_BATCH',
} as const;

/**
 * The tier a provider serves a request in, where prices depend on it.
 */
export type ServiceTier =
  /**
   * Never sent.
   */
  | 'SERVICE_TIER_UNSPECIFIED'
  | 0
  /**
   * What one gets without asking.
   */
  | 'SERVICE_TIER_DEFAULT'
  | 1
  /**
   * Cheaper and slower.
   */
  | 'SERVICE_TIER_FLEX'
  | 2
  /**
   * Dearer and faster.
   */
  | 'SERVICE_TIER_PRIORITY'
  | 3
  /**
   * Answered within hours.
   */
  | 'SERVICE_TIER_BATCH'
  | 4

/**
 * The tier a provider serves a request in, where prices depend on it.
 */
export type ServiceTier__Output = typeof ServiceTier[keyof typeof ServiceTier]
