import type * as grpc from '@grpc/grpc-js';
import type { EnumTypeDefinition, MessageTypeDefinition } from '@grpc/proto-loader';

import type { ListValue as _google_protobuf_ListValue, ListValue__Output as _google_protobuf_ListValue__Output } from './google/protobuf/ListValue.ts';
import type { Struct as _google_protobuf_Struct, Struct__Output as _google_protobuf_Struct__Output } from './google/protobuf/Struct.ts';
import type { Value as _google_protobuf_Value, Value__Output as _google_protobuf_Value__Output } from './google/protobuf/Value.ts';
import type { CallSummary as _thinkpixel_llmgw_v1_CallSummary, CallSummary__Output as _thinkpixel_llmgw_v1_CallSummary__Output } from './thinkpixel/llmgw/v1/CallSummary.ts';
import type { EmbedRequest as _thinkpixel_llmgw_v1_EmbedRequest, EmbedRequest__Output as _thinkpixel_llmgw_v1_EmbedRequest__Output } from './thinkpixel/llmgw/v1/EmbedRequest.ts';
import type { EmbedResponse as _thinkpixel_llmgw_v1_EmbedResponse, EmbedResponse__Output as _thinkpixel_llmgw_v1_EmbedResponse__Output } from './thinkpixel/llmgw/v1/EmbedResponse.ts';
import type { Embedding as _thinkpixel_llmgw_v1_Embedding, Embedding__Output as _thinkpixel_llmgw_v1_Embedding__Output } from './thinkpixel/llmgw/v1/Embedding.ts';
import type { EmbeddingServiceClient as _thinkpixel_llmgw_v1_EmbeddingServiceClient, EmbeddingServiceDefinition as _thinkpixel_llmgw_v1_EmbeddingServiceDefinition } from './thinkpixel/llmgw/v1/EmbeddingService.ts';
import type { Money as _thinkpixel_llmgw_v1_Money, Money__Output as _thinkpixel_llmgw_v1_Money__Output } from './thinkpixel/llmgw/v1/Money.ts';
import type { TokenInput as _thinkpixel_llmgw_v1_TokenInput, TokenInput__Output as _thinkpixel_llmgw_v1_TokenInput__Output } from './thinkpixel/llmgw/v1/TokenInput.ts';
import type { Usage as _thinkpixel_llmgw_v1_Usage, Usage__Output as _thinkpixel_llmgw_v1_Usage__Output } from './thinkpixel/llmgw/v1/Usage.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  google: {
    protobuf: {
      ListValue: MessageTypeDefinition<_google_protobuf_ListValue, _google_protobuf_ListValue__Output>
      NullValue: EnumTypeDefinition
      Struct: MessageTypeDefinition<_google_protobuf_Struct, _google_protobuf_Struct__Output>
      Value: MessageTypeDefinition<_google_protobuf_Value, _google_protobuf_Value__Output>
    }
  }
  thinkpixel: {
    llmgw: {
      v1: {
        CallSummary: MessageTypeDefinition<_thinkpixel_llmgw_v1_CallSummary, _thinkpixel_llmgw_v1_CallSummary__Output>
        EmbedRequest: MessageTypeDefinition<_thinkpixel_llmgw_v1_EmbedRequest, _thinkpixel_llmgw_v1_EmbedRequest__Output>
        EmbedResponse: MessageTypeDefinition<_thinkpixel_llmgw_v1_EmbedResponse, _thinkpixel_llmgw_v1_EmbedResponse__Output>
        Embedding: MessageTypeDefinition<_thinkpixel_llmgw_v1_Embedding, _thinkpixel_llmgw_v1_Embedding__Output>
        /**
         * Turns texts into vectors. Authenticated and metered as ChatService is.
         */
        EmbeddingService: SubtypeConstructor<typeof grpc.Client, _thinkpixel_llmgw_v1_EmbeddingServiceClient> & { service: _thinkpixel_llmgw_v1_EmbeddingServiceDefinition }
        Money: MessageTypeDefinition<_thinkpixel_llmgw_v1_Money, _thinkpixel_llmgw_v1_Money__Output>
        ServiceTier: EnumTypeDefinition
        TokenInput: MessageTypeDefinition<_thinkpixel_llmgw_v1_TokenInput, _thinkpixel_llmgw_v1_TokenInput__Output>
        UnitKind: EnumTypeDefinition
        Usage: MessageTypeDefinition<_thinkpixel_llmgw_v1_Usage, _thinkpixel_llmgw_v1_Usage__Output>
        UsageSource: EnumTypeDefinition
      }
    }
  }
}

