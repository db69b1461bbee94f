// Original file: proto/thinkpixel/llmgw/v1/common.proto

import type { Money as _thinkpixel_llmgw_v1_Money, Money__Output as _thinkpixel_llmgw_v1_Money__Output } from '../../../thinkpixel/llmgw/v1/Money.ts';
import type { Usage as _thinkpixel_llmgw_v1_Usage, Usage__Output as _thinkpixel_llmgw_v1_Usage__Output } from '../../../thinkpixel/llmgw/v1/Usage.ts';
import type { UsageSource as _thinkpixel_llmgw_v1_UsageSource, UsageSource__Output as _thinkpixel_llmgw_v1_UsageSource__Output } from '../../../thinkpixel/llmgw/v1/UsageSource.ts';

/**
 * What a call came to: the same numbers as in its usage record.
 */
export interface CallSummary {
  /**
   * The gateway's id of the call, a UUIDv7: in usage records, logs and errors, too.
   */
  'requestId'?: (string);
  /**
   * The provider that answered.
   */
  'provider'?: (string);
  /**
   * The provider's name of the model that answered.
   */
  'model'?: (string);
  /**
   * The alias that the request named; empty when it named a model.
   */
  'alias'?: (string);
  /**
   * How many upstream attempts were made, the one that answered included.
   */
  'attempts'?: (number);
  /**
   * What the call is charged, all attempts together.
   */
  'cost'?: (_thinkpixel_llmgw_v1_Money | null);
  /**
   * What the answer consumed; attempts that failed before it are in `cost` alone.
   */
  'usage'?: (_thinkpixel_llmgw_v1_Usage | null);
  /**
   * Who has counted `usage`.
   */
  'usageSource'?: (_thinkpixel_llmgw_v1_UsageSource);
  /**
   * The price version that `cost` comes from; empty when the model has no price.
   */
  'priceVersion'?: (string);
  /**
   * Something was consumed that has no price: `cost` is then too low.
   */
  'unpriced'?: (boolean);
}

/**
 * What a call came to: the same numbers as in its usage record.
 */
export interface CallSummary__Output {
  /**
   * The gateway's id of the call, a UUIDv7: in usage records, logs and errors, too.
   */
  'requestId': (string);
  /**
   * The provider that answered.
   */
  'provider': (string);
  /**
   * The provider's name of the model that answered.
   */
  'model': (string);
  /**
   * The alias that the request named; empty when it named a model.
   */
  'alias': (string);
  /**
   * How many upstream attempts were made, the one that answered included.
   */
  'attempts': (number);
  /**
   * What the call is charged, all attempts together.
   */
  'cost': (_thinkpixel_llmgw_v1_Money__Output | null);
  /**
   * What the answer consumed; attempts that failed before it are in `cost` alone.
   */
  'usage': (_thinkpixel_llmgw_v1_Usage__Output | null);
  /**
   * Who has counted `usage`.
   */
  'usageSource': (_thinkpixel_llmgw_v1_UsageSource__Output);
  /**
   * The price version that `cost` comes from; empty when the model has no price.
   */
  'priceVersion': (string);
  /**
   * Something was consumed that has no price: `cost` is then too low.
   */
  'unpriced': (boolean);
}
