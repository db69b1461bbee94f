// Original file: proto/thinkpixel/llmgw/v1/model_service.proto

import type { UnitKind as _thinkpixel_llmgw_v1_UnitKind, UnitKind__Output as _thinkpixel_llmgw_v1_UnitKind__Output } from '../../../thinkpixel/llmgw/v1/UnitKind.ts';
import type { Money as _thinkpixel_llmgw_v1_Money, Money__Output as _thinkpixel_llmgw_v1_Money__Output } from '../../../thinkpixel/llmgw/v1/Money.ts';

/**
 * What a million units of one kind cost.
 */
export interface Rate {
  /**
   * The kind.
   */
  'unitKind'?: (_thinkpixel_llmgw_v1_UnitKind);
  /**
   * The price of a million of them.
   */
  'perMillionUnits'?: (_thinkpixel_llmgw_v1_Money | null);
}

/**
 * What a million units of one kind cost.
 */
export interface Rate__Output {
  /**
   * The kind.
   */
  'unitKind': (_thinkpixel_llmgw_v1_UnitKind__Output);
  /**
   * The price of a million of them.
   */
  'perMillionUnits': (_thinkpixel_llmgw_v1_Money__Output | null);
}
