// Original file: proto/thinkpixel/llmgw/v1/model_service.proto

import type { ServiceTier as _thinkpixel_llmgw_v1_ServiceTier, ServiceTier__Output as _thinkpixel_llmgw_v1_ServiceTier__Output } from '../../../thinkpixel/llmgw/v1/ServiceTier.ts';
import type { Rate as _thinkpixel_llmgw_v1_Rate, Rate__Output as _thinkpixel_llmgw_v1_Rate__Output } from '../../../thinkpixel/llmgw/v1/Rate.ts';
import type { Long } from '@grpc/proto-loader';

/**
 * The rates of a whole request, picked by its service tier and the size of its prompt.
 */
export interface RateTable {
  /**
   * The tier it is for.
   */
  'serviceTier'?: (_thinkpixel_llmgw_v1_ServiceTier);
  /**
   * Applies to prompts of more tokens than this, cached ones included; 0 for the base table.
   */
  'aboveInputTokens'?: (number | string | Long);
  /**
   * A kind that is absent is charged as the nearest kind that is there; it is not free.
   */
  'rates'?: (_thinkpixel_llmgw_v1_Rate)[];
}

/**
 * The rates of a whole request, picked by its service tier and the size of its prompt.
 */
export interface RateTable__Output {
  /**
   * The tier it is for.
   */
  'serviceTier': (_thinkpixel_llmgw_v1_ServiceTier__Output);
  /**
   * Applies to prompts of more tokens than this, cached ones included; 0 for the base table.
   */
  'aboveInputTokens': (string);
  /**
   * A kind that is absent is charged as the nearest kind that is there; it is not free.
   */
  'rates': (_thinkpixel_llmgw_v1_Rate__Output)[];
}
