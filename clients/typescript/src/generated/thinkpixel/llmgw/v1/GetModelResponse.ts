// Original file: proto/thinkpixel/llmgw/v1/model_service.proto

import type { Model as _thinkpixel_llmgw_v1_Model, Model__Output as _thinkpixel_llmgw_v1_Model__Output } from '../../../thinkpixel/llmgw/v1/Model.ts';

/**
 * One model.
 */
export interface GetModelResponse {
  /**
   * The model asked for.
   */
  'model'?: (_thinkpixel_llmgw_v1_Model | null);
}

/**
 * One model.
 */
export interface GetModelResponse__Output {
  /**
   * The model asked for.
   */
  'model': (_thinkpixel_llmgw_v1_Model__Output | null);
}
