// Original file: proto/thinkpixel/llmgw/v1/model_service.proto

import type { Model as _thinkpixel_llmgw_v1_Model, Model__Output as _thinkpixel_llmgw_v1_Model__Output } from '../../../thinkpixel/llmgw/v1/Model.ts';

/**
 * One page of models.
 */
export interface ListModelsResponse {
  /**
   * The models of the page, by name.
   */
  'models'?: (_thinkpixel_llmgw_v1_Model)[];
  /**
   * What to send for the next page; empty when this is the last one.
   */
  'nextPageToken'?: (string);
}

/**
 * One page of models.
 */
export interface ListModelsResponse__Output {
  /**
   * The models of the page, by name.
   */
  'models': (_thinkpixel_llmgw_v1_Model__Output)[];
  /**
   * What to send for the next page; empty when this is the last one.
   */
  'nextPageToken': (string);
}
