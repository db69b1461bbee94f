// Original file: proto/thinkpixel/llmgw/v1/common.proto

import type { Long } from '@grpc/proto-loader';

/**
 * An amount of US dollars, exact.
 */
export interface Money {
  /**
   * In 10⁻⁹ dollars: what is stored, reserved and charged.
   */
  'nanoUsd'?: (number | string | Long);
}

/**
 * An amount of US dollars, exact.
 */
export interface Money__Output {
  /**
   * In 10⁻⁹ dollars: what is stored, reserved and charged.
   */
  'nanoUsd': (string);
}
