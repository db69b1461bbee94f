// Original file: proto/thinkpixel/llmgw/v1/chat_service.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { CompleteRequest as _thinkpixel_llmgw_v1_CompleteRequest, CompleteRequest__Output as _thinkpixel_llmgw_v1_CompleteRequest__Output } from '../../../thinkpixel/llmgw/v1/CompleteRequest.ts';
import type { CompleteResponse as _thinkpixel_llmgw_v1_CompleteResponse, CompleteResponse__Output as _thinkpixel_llmgw_v1_CompleteResponse__Output } from '../../../thinkpixel/llmgw/v1/CompleteResponse.ts';
import type { StreamRequest as _thinkpixel_llmgw_v1_StreamRequest, StreamRequest__Output as _thinkpixel_llmgw_v1_StreamRequest__Output } from '../../../thinkpixel/llmgw/v1/StreamRequest.ts';
import type { StreamResponse as _thinkpixel_llmgw_v1_StreamResponse, StreamResponse__Output as _thinkpixel_llmgw_v1_StreamResponse__Output } from '../../../thinkpixel/llmgw/v1/StreamResponse.ts';

/**
 * Answers conversations. Every call is authenticated by the metadata entry `authorization: Bearer <key>`, or by a client
 * certificate that stands for a key, and is metered like a request of the OpenAI-compatible API: the same limits,
 * budgets, aliases and fallbacks. An error carries google.rpc.ErrorInfo with the gateway's code as its reason and
 * `llmgw` as its domain.
 */
export interface ChatServiceClient extends grpc.Client {
  /**
   * Answers at once and as a whole.
   */
  Complete(argument: _thinkpixel_llmgw_v1_CompleteRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_CompleteResponse__Output>): grpc.ClientUnaryCall;
  Complete(argument: _thinkpixel_llmgw_v1_CompleteRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_CompleteResponse__Output>): grpc.ClientUnaryCall;
  Complete(argument: _thinkpixel_llmgw_v1_CompleteRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_CompleteResponse__Output>): grpc.ClientUnaryCall;
  Complete(argument: _thinkpixel_llmgw_v1_CompleteRequest, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_CompleteResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Answers at once and as a whole.
   */
  complete(argument: _thinkpixel_llmgw_v1_CompleteRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_CompleteResponse__Output>): grpc.ClientUnaryCall;
  complete(argument: _thinkpixel_llmgw_v1_CompleteRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_CompleteResponse__Output>): grpc.ClientUnaryCall;
  complete(argument: _thinkpixel_llmgw_v1_CompleteRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_CompleteResponse__Output>): grpc.ClientUnaryCall;
  complete(argument: _thinkpixel_llmgw_v1_CompleteRequest, callback: grpc.requestCallback<_thinkpixel_llmgw_v1_CompleteResponse__Output>): grpc.ClientUnaryCall;
  
  /**
   * Answers piece by piece. A stream that ends with OK is whole; its last message is `end`.
   */
  Stream(argument: _thinkpixel_llmgw_v1_StreamRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_thinkpixel_llmgw_v1_StreamResponse__Output>;
  Stream(argument: _thinkpixel_llmgw_v1_StreamRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_thinkpixel_llmgw_v1_StreamResponse__Output>;
  /**
   * Answers piece by piece. A stream that ends with OK is whole; its last message is `end`.
   */
  stream(argument: _thinkpixel_llmgw_v1_StreamRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_thinkpixel_llmgw_v1_StreamResponse__Output>;
  stream(argument: _thinkpixel_llmgw_v1_StreamRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_thinkpixel_llmgw_v1_StreamResponse__Output>;
  
}

/**
 * Answers conversations. Every call is authenticated by the metadata entry `authorization: Bearer <key>`, or by a client
 * certificate that stands for a key, and is metered like a request of the OpenAI-compatible API: the same limits,
 * budgets, aliases and fallbacks. An error carries google.rpc.ErrorInfo with the gateway's code as its reason and
 * `llmgw` as its domain.
 */
export interface ChatServiceHandlers extends grpc.UntypedServiceImplementation {
  /**
   * Answers at once and as a whole.
   */
  Complete: grpc.handleUnaryCall<_thinkpixel_llmgw_v1_CompleteRequest__Output, _thinkpixel_llmgw_v1_CompleteResponse>;
  
  /**
   * Answers piece by piece. A stream that ends with OK is whole; its last message is `end`.
   */
  Stream: grpc.handleServerStreamingCall<_thinkpixel_llmgw_v1_StreamRequest__Output, _thinkpixel_llmgw_v1_StreamResponse>;
  
}

export interface ChatServiceDefinition extends grpc.ServiceDefinition {
  Complete: MethodDefinition<_thinkpixel_llmgw_v1_CompleteRequest, _thinkpixel_llmgw_v1_CompleteResponse, _thinkpixel_llmgw_v1_CompleteRequest__Output, _thinkpixel_llmgw_v1_CompleteResponse__Output>
  Stream: MethodDefinition<_thinkpixel_llmgw_v1_StreamRequest, _thinkpixel_llmgw_v1_StreamResponse, _thinkpixel_llmgw_v1_StreamRequest__Output, _thinkpixel_llmgw_v1_StreamResponse__Output>
}
