// Original file: proto/thinkpixel/llmgw/v1/chat.proto

import type { FunctionTool as _thinkpixel_llmgw_v1_FunctionTool, FunctionTool__Output as _thinkpixel_llmgw_v1_FunctionTool__Output } from '../../../thinkpixel/llmgw/v1/FunctionTool.ts';
import type { Struct as _google_protobuf_Struct, Struct__Output as _google_protobuf_Struct__Output } from '../../../google/protobuf/Struct.ts';

/**
 * Something the model may call.
 */
export interface Tool {
  /**
   * A function of the caller.
   */
  'function'?: (_thinkpixel_llmgw_v1_FunctionTool | null);
  /**
   * A tool in OpenAI's form that has no field here.
   */
  'other'?: (_google_protobuf_Struct | null);
  /**
   * Exactly one of them.
   */
  'tool'?: "function"|"other";
}

/**
 * Something the model may call.
 */
export interface Tool__Output {
  /**
   * A function of the caller.
   */
  'function'?: (_thinkpixel_llmgw_v1_FunctionTool__Output | null);
  /**
   * A tool in OpenAI's form that has no field here.
   */
  'other'?: (_google_protobuf_Struct__Output | null);
  /**
   * Exactly one of them.
   */
  'tool'?: "function"|"other";
}
