// Original file: proto/thinkpixel/llmgw/v1/embedding_service.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { EmbedRequest as _thinkpixel_llmgw_v1_EmbedRequest, EmbedRequest__Output as _thinkpixel_llmgw_v1_EmbedRequest__Output } from '../../../thinkpixel/llmgw/v1/EmbedRequest.ts';
import type { EmbedResponse as _thinkpixel_llmgw_v1_EmbedResponse, EmbedResponse__Output as _thinkpixel_llmgw_v1_EmbedResponse__Output } from '../../../thinkpixel/llmgw/v1/EmbedResponse.ts';

/**
 * Turns texts into vectors. Authenticated and metered as ChatService is.
 */
export interface EmbeddingServiceClient extends grpc.Client {
  /**
   * Answers with one vector for each input.
   */
  Embed(argument: _thinkpixel_llmgw_v1_EmbedRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_EmbedResponse__Output>): grpc.ClientUnaryCall;
  Embed(argument: _thinkpixel_llmgw_v1_EmbedRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_EmbedResponse__Output>): grpc.ClientUnaryCall;
  Embed(argument: _thinkpixel_llmgw_v1_EmbedRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_EmbedResponse__Output>): grpc.ClientUnaryCall;
  Embed(argument: _thinkpixel_llmgw_v1_EmbedRequest, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_EmbedResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Answers with one vector for each input.
   */
  embed(argument: _thinkpixel_llmgw_v1_EmbedRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_EmbedResponse__Output>): grpc.ClientUnaryCall;
  embed(argument: _thinkpixel_llmgw_v1_EmbedRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_EmbedResponse__Output>): grpc.ClientUnaryCall;
  embed(argument: _thinkpixel_llmgw_v1_EmbedRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_EmbedResponse__Output>): grpc.ClientUnaryCall;
  embed(argument: _thinkpixel_llmgw_v1_EmbedRequest, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_EmbedResponse__Output>): grpc.ClientUnaryCall;
  
}

/**
 * Turns texts into vectors. Authenticated and metered as ChatService is.
 */
export interface EmbeddingServiceHandlers extends grpc.UntypedServiceImplementation {
  /**
   * Answers with one vector for each input.
   */
  Embed: grpc.handleUnaryCall<_thinkpixel_llmgw_v1_EmbedRequest__Output, _thinkpixel_llmgw_v1_EmbedResponse>;
  
}

export interface EmbeddingServiceDefinition extends grpc.ServiceDefinition {
  Embed: MethodDefinition<_thinkpixel_llmgw_v1_EmbedRequest, _thinkpixel_llmgw_v1_EmbedResponse, _thinkpixel_llmgw_v1_EmbedRequest__Output, _thinkpixel_llmgw_v1_EmbedResponse__Output>
}
