// Original file: proto/thinkpixel/llmgw/v1/model_service.proto

import type { RateTable as _thinkpixel_llmgw_v1_RateTable, RateTable__Output as _thinkpixel_llmgw_v1_RateTable__Output } from '../../../thinkpixel/llmgw/v1/RateTable.ts';

/**
 * One version of a model's price. It never changes: a new price has a new id.
 */
export interface Price {
  /**
   * What usage records name as their price version.
   */
  'id'?: (string);
  /**
   * One for each service tier and size of prompt that has rates of its own.
   */
  'rateTables'?: (_thinkpixel_llmgw_v1_RateTable)[];
}

/**
 * One version of a model's price. It never changes: a new price has a new id.
 */
export interface Price__Output {
  /**
   * What usage records name as their price version.
   */
  'id': (string);
  /**
   * One for each service tier and size of prompt that has rates of its own.
   */
  'rateTables': (_thinkpixel_llmgw_v1_RateTable__Output)[];
}
