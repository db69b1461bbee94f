import type * as grpc from '@grpc/grpc-js';
import type { EnumTypeDefinition, MessageTypeDefinition } from '@grpc/proto-loader';

import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from './google/protobuf/Timestamp.ts';
import type { CallSummary as _thinkpixel_llmgw_v1_CallSummary, CallSummary__Output as _thinkpixel_llmgw_v1_CallSummary__Output } from './thinkpixel/llmgw/v1/CallSummary.ts';
import type { GetModelRequest as _thinkpixel_llmgw_v1_GetModelRequest, GetModelRequest__Output as _thinkpixel_llmgw_v1_GetModelRequest__Output } from './thinkpixel/llmgw/v1/GetModelRequest.ts';
import type { GetModelResponse as _thinkpixel_llmgw_v1_GetModelResponse, GetModelResponse__Output as _thinkpixel_llmgw_v1_GetModelResponse__Output } from './thinkpixel/llmgw/v1/GetModelResponse.ts';
import type { ListModelsRequest as _thinkpixel_llmgw_v1_ListModelsRequest, ListModelsRequest__Output as _thinkpixel_llmgw_v1_ListModelsRequest__Output } from './thinkpixel/llmgw/v1/ListModelsRequest.ts';
import type { ListModelsResponse as _thinkpixel_llmgw_v1_ListModelsResponse, ListModelsResponse__Output as _thinkpixel_llmgw_v1_ListModelsResponse__Output } from './thinkpixel/llmgw/v1/ListModelsResponse.ts';
import type { Model as _thinkpixel_llmgw_v1_Model, Model__Output as _thinkpixel_llmgw_v1_Model__Output } from './thinkpixel/llmgw/v1/Model.ts';
import type { ModelServiceClient as _thinkpixel_llmgw_v1_ModelServiceClient, ModelServiceDefinition as _thinkpixel_llmgw_v1_ModelServiceDefinition } from './thinkpixel/llmgw/v1/ModelService.ts';
import type { Money as _thinkpixel_llmgw_v1_Money, Money__Output as _thinkpixel_llmgw_v1_Money__Output } from './thinkpixel/llmgw/v1/Money.ts';
import type { Price as _thinkpixel_llmgw_v1_Price, Price__Output as _thinkpixel_llmgw_v1_Price__Output } from './thinkpixel/llmgw/v1/Price.ts';
import type { Rate as _thinkpixel_llmgw_v1_Rate, Rate__Output as _thinkpixel_llmgw_v1_Rate__Output } from './thinkpixel/llmgw/v1/Rate.ts';
import type { RateTable as _thinkpixel_llmgw_v1_RateTable, RateTable__Output as _thinkpixel_llmgw_v1_RateTable__Output } from './thinkpixel/llmgw/v1/RateTable.ts';
import type { Usage as _thinkpixel_llmgw_v1_Usage, Usage__Output as _thinkpixel_llmgw_v1_Usage__Output } from './thinkpixel/llmgw/v1/Usage.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  google: {
    protobuf: {
      Timestamp: MessageTypeDefinition<_google_protobuf_Timestamp, _google_protobuf_Timestamp__Output>
    }
  }
  thinkpixel: {
    llmgw: {
      v1: {
        CallSummary: MessageTypeDefinition<_thinkpixel_llmgw_v1_CallSummary, _thinkpixel_llmgw_v1_CallSummary__Output>
        GetModelRequest: MessageTypeDefinition<_thinkpixel_llmgw_v1_GetModelRequest, _thinkpixel_llmgw_v1_GetModelRequest__Output>
        GetModelResponse: MessageTypeDefinition<_thinkpixel_llmgw_v1_GetModelResponse, _thinkpixel_llmgw_v1_GetModelResponse__Output>
        ListModelsRequest: MessageTypeDefinition<_thinkpixel_llmgw_v1_ListModelsRequest, _thinkpixel_llmgw_v1_ListModelsRequest__Output>
        ListModelsResponse: MessageTypeDefinition<_thinkpixel_llmgw_v1_ListModelsResponse, _thinkpixel_llmgw_v1_ListModelsResponse__Output>
        Model: MessageTypeDefinition<_thinkpixel_llmgw_v1_Model, _thinkpixel_llmgw_v1_Model__Output>
        /**
         * Tells a caller which models its key may call and what they cost.
         */
        ModelService: SubtypeConstructor<typeof grpc.Client, _thinkpixel_llmgw_v1_ModelServiceClient> & { service: _thinkpixel_llmgw_v1_ModelServiceDefinition }
        Money: MessageTypeDefinition<_thinkpixel_llmgw_v1_Money, _thinkpixel_llmgw_v1_Money__Output>
        Price: MessageTypeDefinition<_thinkpixel_llmgw_v1_Price, _thinkpixel_llmgw_v1_Price__Output>
        Rate: MessageTypeDefinition<_thinkpixel_llmgw_v1_Rate, _thinkpixel_llmgw_v1_Rate__Output>
        RateTable: MessageTypeDefinition<_thinkpixel_llmgw_v1_RateTable, _thinkpixel_llmgw_v1_RateTable__Output>
        ServiceTier: EnumTypeDefinition
        UnitKind: EnumTypeDefinition
        Usage: MessageTypeDefinition<_thinkpixel_llmgw_v1_Usage, _thinkpixel_llmgw_v1_Usage__Output>
        UsageSource: EnumTypeDefinition
      }
    }
  }
}

