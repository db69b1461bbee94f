// Original file: proto/thinkpixel/llmgw/v1/chat_service.proto

import type { Role as _thinkpixel_llmgw_v1_Role, Role__Output as _thinkpixel_llmgw_v1_Role__Output } from '../../../thinkpixel/llmgw/v1/Role.ts';

/**
 * A choice begins.
 */
export interface RoleEvent {
  /**
   * Of the choice.
   */
  'index'?: (number);
  /**
   * Always ROLE_ASSISTANT so far.
   */
  'role'?: (_thinkpixel_llmgw_v1_Role);
}

/**
 * A choice begins.
 */
export interface RoleEvent__Output {
  /**
   * Of the choice.
   */
  'index': (number);
  /**
   * Always ROLE_ASSISTANT so far.
   */
  'role': (_thinkpixel_llmgw_v1_Role__Output);
}
