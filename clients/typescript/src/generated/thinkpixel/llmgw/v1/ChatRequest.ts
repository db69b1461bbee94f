// Original file: proto/thinkpixel/llmgw/v1/chat.proto

import type { Message as _thinkpixel_llmgw_v1_Message, Message__Output as _thinkpixel_llmgw_v1_Message__Output } from '../../../thinkpixel/llmgw/v1/Message.ts';
import type { Tool as _thinkpixel_llmgw_v1_Tool, Tool__Output as _thinkpixel_llmgw_v1_Tool__Output } from '../../../thinkpixel/llmgw/v1/Tool.ts';
import type { ToolChoice as _thinkpixel_llmgw_v1_ToolChoice, ToolChoice__Output as _thinkpixel_llmgw_v1_ToolChoice__Output } from '../../../thinkpixel/llmgw/v1/ToolChoice.ts';
import type { ResponseFormat as _thinkpixel_llmgw_v1_ResponseFormat, ResponseFormat__Output as _thinkpixel_llmgw_v1_ResponseFormat__Output } from '../../../thinkpixel/llmgw/v1/ResponseFormat.ts';
import type { Struct as _google_protobuf_Struct, Struct__Output as _google_protobuf_Struct__Output } from '../../../google/protobuf/Struct.ts';
import type { Long } from '@grpc/proto-loader';

/**
 * A request for an answer to a conversation. What is absent is left to the provider.
 */
export interface ChatRequest {
  /**
   * An alias, `provider/model`, or the bare name of a model. Required.
   */
  'model'?: (string);
  /**
   * The conversation so far, oldest first. At least one, at most 2,048.
   */
  'messages'?: (_thinkpixel_llmgw_v1_Message)[];
  /**
   * Functions the model may call.
   */
  'tools'?: (_thinkpixel_llmgw_v1_Tool)[];
  /**
   * Whether it may, must or must not call one; by default it may.
   */
  'toolChoice'?: (_thinkpixel_llmgw_v1_ToolChoice | null);
  /**
   * Whether it may call several at once.
   */
  'parallelToolCalls'?: (boolean);
  /**
   * What the text of the answer must look like; by default anything.
   */
  'responseFormat'?: (_thinkpixel_llmgw_v1_ResponseFormat | null);
  /**
   * How many tokens the answer may have at most, reasoning included.
   */
  'maxOutputTokens'?: (number);
  /**
   * From 0 to 2; higher is more random.
   */
  'temperature'?: (number | string);
  /**
   * From 0 to 1: sample from the tokens that make up this share of probability.
   */
  'topP'?: (number | string);
  /**
   * Texts that end the answer where they would come up.
   */
  'stop'?: (string)[];
  /**
   * The same seed asks for the same answer, as far as the provider can.
   */
  'seed'?: (number | string | Long);
  /**
   * From -2 to 2: how much tokens that have come up at all are avoided.
   */
  'presencePenalty'?: (number | string);
  /**
   * From -2 to 2: how much tokens are avoided the more often they have come up.
   */
  'frequencyPenalty'?: (number | string);
  /**
   * By token id, from -100 to 100: how much likelier a token is made.
   */
  'logitBias'?: ({[key: string]: number | string});
  /**
   * Whether each token of the answer comes with its log probability.
   */
  'logprobs'?: (boolean);
  /**
   * How many of the likeliest tokens come with it at each place, from 0 to 20; needs `logprobs`.
   */
  'topLogprobs'?: (number);
  /**
   * How many answers to choose from are made; 1 by default.
   */
  'choices'?: (number);
  /**
   * How much a model that reasons does so, such as `none`, `low`, `medium` or `high`.
   */
  'reasoningEffort'?: (string);
  /**
   * Whom the request is made for, in the caller's own terms: for the provider's abuse detection and in usage records.
   */
  'user'?: (string);
  /**
   * Passed to providers that keep metadata of requests.
   */
  'metadata'?: ({[key: string]: string});
  /**
   * The provider's name of the tier to be served in, such as `default`, `flex` or `priority`.
   */
  'serviceTier'?: (string);
  /**
   * Members of the provider's OpenAI-form request that this message has no field for, as they are. A member that a field
   * of this message stands for ends the call with INVALID_ARGUMENT.
   */
  'providerOptions'?: (_google_protobuf_Struct | null);
  '_parallelToolCalls'?: "parallelToolCalls";
  '_maxOutputTokens'?: "maxOutputTokens";
  '_temperature'?: "temperature";
  '_topP'?: "topP";
  '_seed'?: "seed";
  '_presencePenalty'?: "presencePenalty";
  '_frequencyPenalty'?: "frequencyPenalty";
  '_logprobs'?: "logprobs";
  '_topLogprobs'?: "topLogprobs";
  '_choices'?: "choices";
  '_reasoningEffort'?: "reasoningEffort";
  '_user'?: "user";
  '_serviceTier'?: "serviceTier";
}

/**
 * A request for an answer to a conversation. What is absent is left to the provider.
 */
export interface ChatRequest__Output {
  /**
   * An alias, `provider/model`, or the bare name of a model. Required.
   */
  'model': (string);
  /**
   * The conversation so far, oldest first. At least one, at most 2,048.
   */
  'messages': (_thinkpixel_llmgw_v1_Message__Output)[];
  /**
   * Functions the model may call.
   */
  'tools': (_thinkpixel_llmgw_v1_Tool__Output)[];
  /**
   * Whether it may, must or must not call one; by default it may.
   */
  'toolChoice': (_thinkpixel_llmgw_v1_ToolChoice__Output | null);
  /**
   * Whether it may call several at once.
   */
  'parallelToolCalls'?: (boolean);
  /**
   * What the text of the answer must look like; by default anything.
   */
  'responseFormat': (_thinkpixel_llmgw_v1_ResponseFormat__Output | null);
  /**
   * How many tokens the answer may have at most, reasoning included.
   */
  'maxOutputTokens'?: (number);
  /**
   * From 0 to 2; higher is more random.
   */
  'temperature'?: (number);
  /**
   * From 0 to 1: sample from the tokens that make up this share of probability.
   */
  'topP'?: (number);
  /**
   * Texts that end the answer where they would come up.
   */
  'stop': (string)[];
  /**
   * The same seed asks for the same answer, as far as the provider can.
   */
  'seed'?: (string);
  /**
   * From -2 to 2: how much tokens that have come up at all are avoided.
   */
  'presencePenalty'?: (number);
  /**
   * From -2 to 2: how much tokens are avoided the more often they have come up.
   */
  'frequencyPenalty'?: (number);
  /**
   * By token id, from -100 to 100: how much likelier a token is made.
   */
  'logitBias': ({[key: string]: number});
  /**
   * Whether each token of the answer comes with its log probability.
   */
  'logprobs'?: (boolean);
  /**
   * How many of the likeliest tokens come with it at each place, from 0 to 20; needs `logprobs`.
   */
  'topLogprobs'?: (number);
  /**
   * How many answers to choose from are made; 1 by default.
   */
  'choices'?: (number);
  /**
   * How much a model that reasons does so, such as `none`, `low`, `medium` or `high`.
   */
  'reasoningEffort'?: (string);
  /**
   * Whom the request is made for, in the caller's own terms: for the provider's abuse detection and in usage records.
   */
  'user'?: (string);
  /**
   * Passed to providers that keep metadata of requests.
   */
  'metadata': ({[key: string]: string});
  /**
   * The provider's name of the tier to be served in, such as `default`, `flex` or `priority`.
   */
  'serviceTier'?: (string);
  /**
   * Members of the provider's OpenAI-form request that this message has no field for, as they are. A member that a field
   * of this message stands for ends the call with INVALID_ARGUMENT.
   */
  'providerOptions': (_google_protobuf_Struct__Output | null);
  '_parallelToolCalls'?: "parallelToolCalls";
  '_maxOutputTokens'?: "maxOutputTokens";
  '_temperature'?: "temperature";
  '_topP'?: "topP";
  '_seed'?: "seed";
  '_presencePenalty'?: "presencePenalty";
  '_frequencyPenalty'?: "frequencyPenalty";
  '_logprobs'?: "logprobs";
  '_topLogprobs'?: "topLogprobs";
  '_choices'?: "choices";
  '_reasoningEffort'?: "reasoningEffort";
  '_user'?: "user";
  '_serviceTier'?: "serviceTier";
}
