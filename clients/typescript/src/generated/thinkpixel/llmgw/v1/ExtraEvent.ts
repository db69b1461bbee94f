// Original file: proto/thinkpixel/llmgw/v1/chat_service.proto

import type { Struct as _google_protobuf_Struct, Struct__Output as _google_protobuf_Struct__Output } from '../../../google/protobuf/Struct.ts';

/**
 * Members in OpenAI's form that have no event of their own.
 */
export interface ExtraEvent {
  /**
   * Of the choice; absent for what concerns the whole answer.
   */
  'index'?: (number);
  /**
   * Lists are to be appended, everything else replaces what came before.
   */
  'members'?: (_google_protobuf_Struct | null);
  '_index'?: "index";
}

/**
 * Members in OpenAI's form that have no event of their own.
 */
export interface ExtraEvent__Output {
  /**
   * Of the choice; absent for what concerns the whole answer.
   */
  'index'?: (number);
  /**
   * Lists are to be appended, everything else replaces what came before.
   */
  'members': (_google_protobuf_Struct__Output | null);
  '_index'?: "index";
}
