// Original file: proto/thinkpixel/llmgw/v1/chat_service.proto

import type { Usage as _thinkpixel_llmgw_v1_Usage, Usage__Output as _thinkpixel_llmgw_v1_Usage__Output } from '../../../thinkpixel/llmgw/v1/Usage.ts';

/**
 * What the answer consumed.
 */
export interface UsageEvent {
  /**
   * In sums.
   */
  'usage'?: (_thinkpixel_llmgw_v1_Usage | null);
}

/**
 * What the answer consumed.
 */
export interface UsageEvent__Output {
  /**
   * In sums.
   */
  'usage': (_thinkpixel_llmgw_v1_Usage__Output | null);
}
