// Original file: proto/thinkpixel/llmgw/v1/chat_service.proto

import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../../../google/protobuf/Timestamp.ts';
import type { Choice as _thinkpixel_llmgw_v1_Choice, Choice__Output as _thinkpixel_llmgw_v1_Choice__Output } from '../../../thinkpixel/llmgw/v1/Choice.ts';
import type { CallSummary as _thinkpixel_llmgw_v1_CallSummary, CallSummary__Output as _thinkpixel_llmgw_v1_CallSummary__Output } from '../../../thinkpixel/llmgw/v1/CallSummary.ts';
import type { Struct as _google_protobuf_Struct, Struct__Output as _google_protobuf_Struct__Output } from '../../../google/protobuf/Struct.ts';

/**
 * A whole answer.
 */
export interface CompleteResponse {
  /**
   * The provider's id of the answer, or one of the gateway's.
   */
  'id'?: (string);
  /**
   * What the provider calls the model that answered.
   */
  'model'?: (string);
  /**
   * When the answer was begun.
   */
  'createTime'?: (_google_protobuf_Timestamp | null);
  /**
   * As many as were asked for, in order.
   */
  'choices'?: (_thinkpixel_llmgw_v1_Choice)[];
  /**
   * What the call came to.
   */
  'summary'?: (_thinkpixel_llmgw_v1_CallSummary | null);
  /**
   * Members of the answer in OpenAI's form that have no field here, such as `system_fingerprint` and `citations`.
   */
  'extra'?: (_google_protobuf_Struct | null);
}

/**
 * A whole answer.
 */
export interface CompleteResponse__Output {
  /**
   * The provider's id of the answer, or one of the gateway's.
   */
  'id': (string);
  /**
   * What the provider calls the model that answered.
   */
  'model': (string);
  /**
   * When the answer was begun.
   */
  'createTime': (_google_protobuf_Timestamp__Output | null);
  /**
   * As many as were asked for, in order.
   */
  'choices': (_thinkpixel_llmgw_v1_Choice__Output)[];
  /**
   * What the call came to.
   */
  'summary': (_thinkpixel_llmgw_v1_CallSummary__Output | null);
  /**
   * Members of the answer in OpenAI's form that have no field here, such as `system_fingerprint` and `citations`.
   */
  'extra': (_google_protobuf_Struct__Output | null);
}
