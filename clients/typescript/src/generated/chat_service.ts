import type * as grpc from '@grpc/grpc-js';
import type { EnumTypeDefinition, MessageTypeDefinition } from '@grpc/proto-loader';

import type { ListValue as _google_protobuf_ListValue, ListValue__Output as _google_protobuf_ListValue__Output } from './google/protobuf/ListValue.ts';
import type { Struct as _google_protobuf_Struct, Struct__Output as _google_protobuf_Struct__Output } from './google/protobuf/Struct.ts';
import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from './google/protobuf/Timestamp.ts';
import type { Value as _google_protobuf_Value, Value__Output as _google_protobuf_Value__Output } from './google/protobuf/Value.ts';
import type { Audio as _thinkpixel_llmgw_v1_Audio, Audio__Output as _thinkpixel_llmgw_v1_Audio__Output } from './thinkpixel/llmgw/v1/Audio.ts';
import type { CallSummary as _thinkpixel_llmgw_v1_CallSummary, CallSummary__Output as _thinkpixel_llmgw_v1_CallSummary__Output } from './thinkpixel/llmgw/v1/CallSummary.ts';
import type { ChatRequest as _thinkpixel_llmgw_v1_ChatRequest, ChatRequest__Output as _thinkpixel_llmgw_v1_ChatRequest__Output } from './thinkpixel/llmgw/v1/ChatRequest.ts';
import type { ChatServiceClient as _thinkpixel_llmgw_v1_ChatServiceClient, ChatServiceDefinition as _thinkpixel_llmgw_v1_ChatServiceDefinition } from './thinkpixel/llmgw/v1/ChatService.ts';
import type { Choice as _thinkpixel_llmgw_v1_Choice, Choice__Output as _thinkpixel_llmgw_v1_Choice__Output } from './thinkpixel/llmgw/v1/Choice.ts';
import type { ChoiceEndEvent as _thinkpixel_llmgw_v1_ChoiceEndEvent, ChoiceEndEvent__Output as _thinkpixel_llmgw_v1_ChoiceEndEvent__Output } from './thinkpixel/llmgw/v1/ChoiceEndEvent.ts';
import type { CompleteRequest as _thinkpixel_llmgw_v1_CompleteRequest, CompleteRequest__Output as _thinkpixel_llmgw_v1_CompleteRequest__Output } from './thinkpixel/llmgw/v1/CompleteRequest.ts';
import type { CompleteResponse as _thinkpixel_llmgw_v1_CompleteResponse, CompleteResponse__Output as _thinkpixel_llmgw_v1_CompleteResponse__Output } from './thinkpixel/llmgw/v1/CompleteResponse.ts';
import type { ContentPart as _thinkpixel_llmgw_v1_ContentPart, ContentPart__Output as _thinkpixel_llmgw_v1_ContentPart__Output } from './thinkpixel/llmgw/v1/ContentPart.ts';
import type { EndEvent as _thinkpixel_llmgw_v1_EndEvent, EndEvent__Output as _thinkpixel_llmgw_v1_EndEvent__Output } from './thinkpixel/llmgw/v1/EndEvent.ts';
import type { ExtraEvent as _thinkpixel_llmgw_v1_ExtraEvent, ExtraEvent__Output as _thinkpixel_llmgw_v1_ExtraEvent__Output } from './thinkpixel/llmgw/v1/ExtraEvent.ts';
import type { File as _thinkpixel_llmgw_v1_File, File__Output as _thinkpixel_llmgw_v1_File__Output } from './thinkpixel/llmgw/v1/File.ts';
import type { FunctionTool as _thinkpixel_llmgw_v1_FunctionTool, FunctionTool__Output as _thinkpixel_llmgw_v1_FunctionTool__Output } from './thinkpixel/llmgw/v1/FunctionTool.ts';
import type { Image as _thinkpixel_llmgw_v1_Image, Image__Output as _thinkpixel_llmgw_v1_Image__Output } from './thinkpixel/llmgw/v1/Image.ts';
import type { InlineData as _thinkpixel_llmgw_v1_InlineData, InlineData__Output as _thinkpixel_llmgw_v1_InlineData__Output } from './thinkpixel/llmgw/v1/InlineData.ts';
import type { JsonObjectFormat as _thinkpixel_llmgw_v1_JsonObjectFormat, JsonObjectFormat__Output as _thinkpixel_llmgw_v1_JsonObjectFormat__Output } from './thinkpixel/llmgw/v1/JsonObjectFormat.ts';
import type { JsonSchemaFormat as _thinkpixel_llmgw_v1_JsonSchemaFormat, JsonSchemaFormat__Output as _thinkpixel_llmgw_v1_JsonSchemaFormat__Output } from './thinkpixel/llmgw/v1/JsonSchemaFormat.ts';
import type { Message as _thinkpixel_llmgw_v1_Message, Message__Output as _thinkpixel_llmgw_v1_Message__Output } from './thinkpixel/llmgw/v1/Message.ts';
import type { Money as _thinkpixel_llmgw_v1_Money, Money__Output as _thinkpixel_llmgw_v1_Money__Output } from './thinkpixel/llmgw/v1/Money.ts';
import type { ReasoningEvent as _thinkpixel_llmgw_v1_ReasoningEvent, ReasoningEvent__Output as _thinkpixel_llmgw_v1_ReasoningEvent__Output } from './thinkpixel/llmgw/v1/ReasoningEvent.ts';
import type { RefusalEvent as _thinkpixel_llmgw_v1_RefusalEvent, RefusalEvent__Output as _thinkpixel_llmgw_v1_RefusalEvent__Output } from './thinkpixel/llmgw/v1/RefusalEvent.ts';
import type { ResponseFormat as _thinkpixel_llmgw_v1_ResponseFormat, ResponseFormat__Output as _thinkpixel_llmgw_v1_ResponseFormat__Output } from './thinkpixel/llmgw/v1/ResponseFormat.ts';
import type { RoleEvent as _thinkpixel_llmgw_v1_RoleEvent, RoleEvent__Output as _thinkpixel_llmgw_v1_RoleEvent__Output } from './thinkpixel/llmgw/v1/RoleEvent.ts';
import type { StartEvent as _thinkpixel_llmgw_v1_StartEvent, StartEvent__Output as _thinkpixel_llmgw_v1_StartEvent__Output } from './thinkpixel/llmgw/v1/StartEvent.ts';
import type { StreamRequest as _thinkpixel_llmgw_v1_StreamRequest, StreamRequest__Output as _thinkpixel_llmgw_v1_StreamRequest__Output } from './thinkpixel/llmgw/v1/StreamRequest.ts';
import type { StreamResponse as _thinkpixel_llmgw_v1_StreamResponse, StreamResponse__Output as _thinkpixel_llmgw_v1_StreamResponse__Output } from './thinkpixel/llmgw/v1/StreamResponse.ts';
import type { TextEvent as _thinkpixel_llmgw_v1_TextEvent, TextEvent__Output as _thinkpixel_llmgw_v1_TextEvent__Output } from './thinkpixel/llmgw/v1/TextEvent.ts';
import type { TextFormat as _thinkpixel_llmgw_v1_TextFormat, TextFormat__Output as _thinkpixel_llmgw_v1_TextFormat__Output } from './thinkpixel/llmgw/v1/TextFormat.ts';
import type { Tool as _thinkpixel_llmgw_v1_Tool, Tool__Output as _thinkpixel_llmgw_v1_Tool__Output } from './thinkpixel/llmgw/v1/Tool.ts';
import type { ToolCall as _thinkpixel_llmgw_v1_ToolCall, ToolCall__Output as _thinkpixel_llmgw_v1_ToolCall__Output } from './thinkpixel/llmgw/v1/ToolCall.ts';
import type { ToolCallArgumentsEvent as _thinkpixel_llmgw_v1_ToolCallArgumentsEvent, ToolCallArgumentsEvent__Output as _thinkpixel_llmgw_v1_ToolCallArgumentsEvent__Output } from './thinkpixel/llmgw/v1/ToolCallArgumentsEvent.ts';
import type { ToolCallStartEvent as _thinkpixel_llmgw_v1_ToolCallStartEvent, ToolCallStartEvent__Output as _thinkpixel_llmgw_v1_ToolCallStartEvent__Output } from './thinkpixel/llmgw/v1/ToolCallStartEvent.ts';
import type { ToolChoice as _thinkpixel_llmgw_v1_ToolChoice, ToolChoice__Output as _thinkpixel_llmgw_v1_ToolChoice__Output } from './thinkpixel/llmgw/v1/ToolChoice.ts';
import type { Usage as _thinkpixel_llmgw_v1_Usage, Usage__Output as _thinkpixel_llmgw_v1_Usage__Output } from './thinkpixel/llmgw/v1/Usage.ts';
import type { UsageEvent as _thinkpixel_llmgw_v1_UsageEvent, UsageEvent__Output as _thinkpixel_llmgw_v1_UsageEvent__Output } from './thinkpixel/llmgw/v1/UsageEvent.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  google: {
    protobuf: {
      ListValue: MessageTypeDefinition<_google_protobuf_ListValue, _google_protobuf_ListValue__Output>
      NullValue: EnumTypeDefinition
      Struct: MessageTypeDefinition<_google_protobuf_Struct, _google_protobuf_Struct__Output>
      Timestamp: MessageTypeDefinition<_google_protobuf_Timestamp, _google_protobuf_Timestamp__Output>
      Value: MessageTypeDefinition<_google_protobuf_Value, _google_protobuf_Value__Output>
    }
  }
  thinkpixel: {
    llmgw: {
      v1: {
        Audio: MessageTypeDefinition<_thinkpixel_llmgw_v1_Audio, _thinkpixel_llmgw_v1_Audio__Output>
        CallSummary: MessageTypeDefinition<_thinkpixel_llmgw_v1_CallSummary, _thinkpixel_llmgw_v1_CallSummary__Output>
        ChatRequest: MessageTypeDefinition<_thinkpixel_llmgw_v1_ChatRequest, _thinkpixel_llmgw_v1_ChatRequest__Output>
        /**
         * Answers conversations. Every call is authenticated by the metadata entry `authorization: Bearer <key>`, or by a client
         * certificate that stands for a key, and is metered like a request of the OpenAI-compatible API: the same limits,
         * budgets, aliases and fallbacks. An error carries google.rpc.ErrorInfo with the gateway's code as its reason and
         * `llmgw` as its domain.
         */
        ChatService: SubtypeConstructor<typeof grpc.Client, _thinkpixel_llmgw_v1_ChatServiceClient> & { service: _thinkpixel_llmgw_v1_ChatServiceDefinition }
        Choice: MessageTypeDefinition<_thinkpixel_llmgw_v1_Choice, _thinkpixel_llmgw_v1_Choice__Output>
        ChoiceEndEvent: MessageTypeDefinition<_thinkpixel_llmgw_v1_ChoiceEndEvent, _thinkpixel_llmgw_v1_ChoiceEndEvent__Output>
        CompleteRequest: MessageTypeDefinition<_thinkpixel_llmgw_v1_CompleteRequest, _thinkpixel_llmgw_v1_CompleteRequest__Output>
        CompleteResponse: MessageTypeDefinition<_thinkpixel_llmgw_v1_CompleteResponse, _thinkpixel_llmgw_v1_CompleteResponse__Output>
        ContentPart: MessageTypeDefinition<_thinkpixel_llmgw_v1_ContentPart, _thinkpixel_llmgw_v1_ContentPart__Output>
        EndEvent: MessageTypeDefinition<_thinkpixel_llmgw_v1_EndEvent, _thinkpixel_llmgw_v1_EndEvent__Output>
        ExtraEvent: MessageTypeDefinition<_thinkpixel_llmgw_v1_ExtraEvent, _thinkpixel_llmgw_v1_ExtraEvent__Output>
        File: MessageTypeDefinition<_thinkpixel_llmgw_v1_File, _thinkpixel_llmgw_v1_File__Output>
        FinishReason: EnumTypeDefinition
        FunctionTool: MessageTypeDefinition<_thinkpixel_llmgw_v1_FunctionTool, _thinkpixel_llmgw_v1_FunctionTool__Output>
        Image: MessageTypeDefinition<_thinkpixel_llmgw_v1_Image, _thinkpixel_llmgw_v1_Image__Output>
        InlineData: MessageTypeDefinition<_thinkpixel_llmgw_v1_InlineData, _thinkpixel_llmgw_v1_InlineData__Output>
        JsonObjectFormat: MessageTypeDefinition<_thinkpixel_llmgw_v1_JsonObjectFormat, _thinkpixel_llmgw_v1_JsonObjectFormat__Output>
        JsonSchemaFormat: MessageTypeDefinition<_thinkpixel_llmgw_v1_JsonSchemaFormat, _thinkpixel_llmgw_v1_JsonSchemaFormat__Output>
        Message: MessageTypeDefinition<_thinkpixel_llmgw_v1_Message, _thinkpixel_llmgw_v1_Message__Output>
        Money: MessageTypeDefinition<_thinkpixel_llmgw_v1_Money, _thinkpixel_llmgw_v1_Money__Output>
        ReasoningEvent: MessageTypeDefinition<_thinkpixel_llmgw_v1_ReasoningEvent, _thinkpixel_llmgw_v1_ReasoningEvent__Output>
        RefusalEvent: MessageTypeDefinition<_thinkpixel_llmgw_v1_RefusalEvent, _thinkpixel_llmgw_v1_RefusalEvent__Output>
        ResponseFormat: MessageTypeDefinition<_thinkpixel_llmgw_v1_ResponseFormat, _thinkpixel_llmgw_v1_ResponseFormat__Output>
        Role: EnumTypeDefinition
        RoleEvent: MessageTypeDefinition<_thinkpixel_llmgw_v1_RoleEvent, _thinkpixel_llmgw_v1_RoleEvent__Output>
        ServiceTier: EnumTypeDefinition
        StartEvent: MessageTypeDefinition<_thinkpixel_llmgw_v1_StartEvent, _thinkpixel_llmgw_v1_StartEvent__Output>
        StreamRequest: MessageTypeDefinition<_thinkpixel_llmgw_v1_StreamRequest, _thinkpixel_llmgw_v1_StreamRequest__Output>
        StreamResponse: MessageTypeDefinition<_thinkpixel_llmgw_v1_StreamResponse, _thinkpixel_llmgw_v1_StreamResponse__Output>
        TextEvent: MessageTypeDefinition<_thinkpixel_llmgw_v1_TextEvent, _thinkpixel_llmgw_v1_TextEvent__Output>
        TextFormat: MessageTypeDefinition<_thinkpixel_llmgw_v1_TextFormat, _thinkpixel_llmgw_v1_TextFormat__Output>
        Tool: MessageTypeDefinition<_thinkpixel_llmgw_v1_Tool, _thinkpixel_llmgw_v1_Tool__Output>
        ToolCall: MessageTypeDefinition<_thinkpixel_llmgw_v1_ToolCall, _thinkpixel_llmgw_v1_ToolCall__Output>
        ToolCallArgumentsEvent: MessageTypeDefinition<_thinkpixel_llmgw_v1_ToolCallArgumentsEvent, _thinkpixel_llmgw_v1_ToolCallArgumentsEvent__Output>
        ToolCallStartEvent: MessageTypeDefinition<_thinkpixel_llmgw_v1_ToolCallStartEvent, _thinkpixel_llmgw_v1_ToolCallStartEvent__Output>
        ToolChoice: MessageTypeDefinition<_thinkpixel_llmgw_v1_ToolChoice, _thinkpixel_llmgw_v1_ToolChoice__Output>
        ToolChoiceMode: EnumTypeDefinition
        UnitKind: EnumTypeDefinition
        Usage: MessageTypeDefinition<_thinkpixel_llmgw_v1_Usage, _thinkpixel_llmgw_v1_Usage__Output>
        UsageEvent: MessageTypeDefinition<_thinkpixel_llmgw_v1_UsageEvent, _thinkpixel_llmgw_v1_UsageEvent__Output>
        UsageSource: EnumTypeDefinition
      }
    }
  }
}

