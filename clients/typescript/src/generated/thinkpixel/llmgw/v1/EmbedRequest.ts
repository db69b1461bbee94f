// Original file: proto/thinkpixel/llmgw/v1/embedding_service.proto

import type { TokenInput as _thinkpixel_llmgw_v1_TokenInput, TokenInput__Output as _thinkpixel_llmgw_v1_TokenInput__Output } from '../../../thinkpixel/llmgw/v1/TokenInput.ts';
import type { Struct as _google_protobuf_Struct, Struct__Output as _google_protobuf_Struct__Output } from '../../../google/protobuf/Struct.ts';

/**
 * Asks for embeddings.
 */
export interface EmbedRequest {
  /**
   * An alias, `provider/model`, or the bare name of a model. Required.
   */
  'model'?: (string);
  /**
   * Either this or `tokens`: at least one text, at most 2,048, none of them empty.
   */
  'texts'?: (string)[];
  /**
   * Instead of `texts`: inputs that are tokens of the model already.
   */
  'tokens'?: (_thinkpixel_llmgw_v1_TokenInput)[];
  /**
   * How many numbers a vector has, where the model lets one choose.
   */
  'dimensions'?: (number);
  /**
   * Whom the request is made for, in the caller's own terms.
   */
  'user'?: (string);
  /**
   * Members of the provider's OpenAI-form request that this message has no field for, as they are.
   */
  'providerOptions'?: (_google_protobuf_Struct | null);
  '_dimensions'?: "dimensions";
  '_user'?: "user";
}

/**
 * Asks for embeddings.
 */
export interface EmbedRequest__Output {
  /**
   * An alias, `provider/model`, or the bare name of a model. Required.
   */
  'model': (string);
  /**
   * Either this or `tokens`: at least one text, at most 2,048, none of them empty.
   */
  'texts': (string)[];
  /**
   * Instead of `texts`: inputs that are tokens of the model already.
   */
  'tokens': (_thinkpixel_llmgw_v1_TokenInput__Output)[];
  /**
   * How many numbers a vector has, where the model lets one choose.
   */
  'dimensions'?: (number);
  /**
   * Whom the request is made for, in the caller's own terms.
   */
  'user'?: (string);
  /**
   * Members of the provider's OpenAI-form request that this message has no field for, as they are.
   */
  'providerOptions': (_google_protobuf_Struct__Output | null);
  '_dimensions'?: "dimensions";
  '_user'?: "user";
}
