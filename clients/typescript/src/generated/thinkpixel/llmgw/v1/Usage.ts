// Original file: proto/thinkpixel/llmgw/v1/common.proto

import type { Long } from '@grpc/proto-loader';

/**
 * What a call consumed, in the sums its caller is shown.
 */
export interface Usage {
  /**
   * All prompt tokens, cached ones included.
   */
  'inputTokens'?: (number | string | Long);
  /**
   * All completion tokens, reasoning included.
   */
  'outputTokens'?: (number | string | Long);
  /**
   * Both together.
   */
  'totalTokens'?: (number | string | Long);
  /**
   * The prompt tokens that were read from the provider's cache.
   */
  'cacheReadTokens'?: (number | string | Long);
  /**
   * The prompt tokens that were written to the provider's cache.
   */
  'cacheWriteTokens'?: (number | string | Long);
  /**
   * The completion tokens that the model spent on reasoning.
   */
  'reasoningTokens'?: (number | string | Long);
}

/**
 * What a call consumed, in the sums its caller is shown.
 */
export interface Usage__Output {
  /**
   * All prompt tokens, cached ones included.
   */
  'inputTokens': (string);
  /**
   * All completion tokens, reasoning included.
   */
  'outputTokens': (string);
  /**
   * Both together.
   */
  'totalTokens': (string);
  /**
   * The prompt tokens that were read from the provider's cache.
   */
  'cacheReadTokens': (string);
  /**
   * The prompt tokens that were written to the provider's cache.
   */
  'cacheWriteTokens': (string);
  /**
   * The completion tokens that the model spent on reasoning.
   */
  'reasoningTokens': (string);
}
