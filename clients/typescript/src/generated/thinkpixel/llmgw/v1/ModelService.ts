// Original file: proto/thinkpixel/llmgw/v1/model_service.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { GetModelRequest as _thinkpixel_llmgw_v1_GetModelRequest, GetModelRequest__Output as _thinkpixel_llmgw_v1_GetModelRequest__Output } from '../../../thinkpixel/llmgw/v1/GetModelRequest.ts';
import type { GetModelResponse as _thinkpixel_llmgw_v1_GetModelResponse, GetModelResponse__Output as _thinkpixel_llmgw_v1_GetModelResponse__Output } from '../../../thinkpixel/llmgw/v1/GetModelResponse.ts';
import type { ListModelsRequest as _thinkpixel_llmgw_v1_ListModelsRequest, ListModelsRequest__Output as _thinkpixel_llmgw_v1_ListModelsRequest__Output } from '../../../thinkpixel/llmgw/v1/ListModelsRequest.ts';
import type { ListModelsResponse as _thinkpixel_llmgw_v1_ListModelsResponse, ListModelsResponse__Output as _thinkpixel_llmgw_v1_ListModelsResponse__Output } from '../../../thinkpixel/llmgw/v1/ListModelsResponse.ts';

/**
 * Tells a caller which models its key may call and what they cost.
 */
export interface ModelServiceClient extends grpc.Client {
  /**
   * Ends with NOT_FOUND when there is no such model, or when the key may not call it.
   */
  GetModel(argument: _thinkpixel_llmgw_v1_GetModelRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_GetModelResponse__Output>): grpc.ClientUnaryCall;
  GetModel(argument: _thinkpixel_llmgw_v1_GetModelRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_GetModelResponse__Output>): grpc.ClientUnaryCall;
  GetModel(argument: _thinkpixel_llmgw_v1_GetModelRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_GetModelResponse__Output>): grpc.ClientUnaryCall;
  GetModel(argument: _thinkpixel_llmgw_v1_GetModelRequest, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_GetModelResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Ends with NOT_FOUND when there is no such model, or when the key may not call it.
   */
  getModel(argument: _thinkpixel_llmgw_v1_GetModelRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_GetModelResponse__Output>): grpc.ClientUnaryCall;
  getModel(argument: _thinkpixel_llmgw_v1_GetModelRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_GetModelResponse__Output>): grpc.ClientUnaryCall;
  getModel(argument: _thinkpixel_llmgw_v1_GetModelRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_GetModelResponse__Output>): grpc.ClientUnaryCall;
  getModel(argument: _thinkpixel_llmgw_v1_GetModelRequest, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_GetModelResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * Lists the models by name.
   */
  ListModels(argument: _thinkpixel_llmgw_v1_ListModelsRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_ListModelsResponse__Output>): grpc.ClientUnaryCall;
  ListModels(argument: _thinkpixel_llmgw_v1_ListModelsRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_ListModelsResponse__Output>): grpc.ClientUnaryCall;
  ListModels(argument: _thinkpixel_llmgw_v1_ListModelsRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_ListModelsResponse__Output>): grpc.ClientUnaryCall;
  ListModels(argument: _thinkpixel_llmgw_v1_ListModelsRequest, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_ListModelsResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Lists the models by name.
   */
  listModels(argument: _thinkpixel_llmgw_v1_ListModelsRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_ListModelsResponse__Output>): grpc.ClientUnaryCall;
  listModels(argument: _thinkpixel_llmgw_v1_ListModelsRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_ListModelsResponse__Output>): grpc.ClientUnaryCall;
  listModels(argument: _thinkpixel_llmgw_v1_ListModelsRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_ListModelsResponse__Output>): grpc.ClientUnaryCall;
  listModels(argument: _thinkpixel_llmgw_v1_ListModelsRequest, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_ListModelsResponse__Output>): grpc.ClientUnaryCall;
  
}

/**
 * Tells a caller which models its key may call and what they cost.
 */
export interface ModelServiceHandlers extends grpc.UntypedServiceImplementation {
  /**
   * Ends with NOT_FOUND when there is no such model, or when the key may not call it.
   */
  GetModel: grpc.handleUnaryCall<_thinkpixel_llmgw_v1_GetModelRequest__Output, _thinkpixel_llmgw_v1_GetModelResponse>;
  
  /**
   * Lists the models by name.
   */
  ListModels: grpc.handleUnaryCall<_thinkpixel_llmgw_v1_ListModelsRequest__Output, _thinkpixel_llmgw_v1_ListModelsResponse>;
  
}

export interface ModelServiceDefinition extends grpc.ServiceDefinition {
  GetModel: MethodDefinition<_thinkpixel_llmgw_v1_GetModelRequest, _thinkpixel_llmgw_v1_GetModelResponse, _thinkpixel_llmgw_v1_GetModelRequest__Output, _thinkpixel_llmgw_v1_GetModelResponse__Output>
  ListModels: MethodDefinition<_thinkpixel_llmgw_v1_ListModelsRequest, _thinkpixel_llmgw_v1_ListModelsResponse, _thinkpixel_llmgw_v1_ListModelsRequest__Output, _thinkpixel_llmgw_v1_ListModelsResponse__Output>
}
