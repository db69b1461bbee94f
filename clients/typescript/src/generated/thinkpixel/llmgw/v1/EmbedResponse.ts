// Original file: proto/thinkpixel/llmgw/v1/embedding_service.proto

import type { Embedding as _thinkpixel_llmgw_v1_Embedding, Embedding__Output as _thinkpixel_llmgw_v1_Embedding__Output } from '../../../thinkpixel/llmgw/v1/Embedding.ts';
import type { CallSummary as _thinkpixel_llmgw_v1_CallSummary, CallSummary__Output as _thinkpixel_llmgw_v1_CallSummary__Output } from '../../../thinkpixel/llmgw/v1/CallSummary.ts';

/**
 * One vector for each input.
 */
export interface EmbedResponse {
  /**
   * What the provider calls the model that answered.
   */
  'model'?: (string);
  /**
   * In the order of the inputs.
   */
  'embeddings'?: (_thinkpixel_llmgw_v1_Embedding)[];
  /**
   * What the call came to.
   */
  'summary'?: (_thinkpixel_llmgw_v1_CallSummary | null);
}

/**
 * One vector for each input.
 */
export interface EmbedResponse__Output {
  /**
   * What the provider calls the model that answered.
   */
  'model': (string);
  /**
   * In the order of the inputs.
   */
  'embeddings': (_thinkpixel_llmgw_v1_Embedding__Output)[];
  /**
   * What the call came to.
   */
  'summary': (_thinkpixel_llmgw_v1_CallSummary__Output | null);
}
