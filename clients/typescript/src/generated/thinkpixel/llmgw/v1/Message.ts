// Original file: proto/thinkpixel/llmgw/v1/chat.proto

import type { Role as _thinkpixel_llmgw_v1_Role, Role__Output as _thinkpixel_llmgw_v1_Role__Output } from '../../../thinkpixel/llmgw/v1/Role.ts';
import type { ContentPart as _thinkpixel_llmgw_v1_ContentPart, ContentPart__Output as _thinkpixel_llmgw_v1_ContentPart__Output } from '../../../thinkpixel/llmgw/v1/ContentPart.ts';
import type { ToolCall as _thinkpixel_llmgw_v1_ToolCall, ToolCall__Output as _thinkpixel_llmgw_v1_ToolCall__Output } from '../../../thinkpixel/llmgw/v1/ToolCall.ts';
import type { Struct as _google_protobuf_Struct, Struct__Output as _google_protobuf_Struct__Output } from '../../../google/protobuf/Struct.ts';

/**
 * One message of a conversation.
 */
export interface Message {
  /**
   * Required.
   */
  'role'?: (_thinkpixel_llmgw_v1_Role);
  /**
   * What is said. May be empty only beside `tool_calls` or `refusal`.
   */
  'content'?: (_thinkpixel_llmgw_v1_ContentPart)[];
  /**
   * Tells several participants of one role apart.
   */
  'name'?: (string);
  /**
   * ROLE_ASSISTANT only: the functions it called.
   */
  'toolCalls'?: (_thinkpixel_llmgw_v1_ToolCall)[];
  /**
   * ROLE_TOOL only, and required there: the id of the call that this is the result of.
   */
  'toolCallId'?: (string);
  /**
   * ROLE_ASSISTANT only: why it would not answer.
   */
  'refusal'?: (string);
  /**
   * ROLE_ASSISTANT only, and only in answers: what it thought, as far as the provider tells.
   */
  'reasoning'?: (string);
  /**
   * Members of the message in OpenAI's form that have no field here, such as `thinking_blocks` and `annotations`. Send
   * back with a message what came with it: some providers insist.
   */
  'extra'?: (_google_protobuf_Struct | null);
}

/**
 * One message of a conversation.
 */
export interface Message__Output {
  /**
   * Required.
   */
  'role': (_thinkpixel_llmgw_v1_Role__Output);
  /**
   * What is said. May be empty only beside `tool_calls` or `refusal`.
   */
  'content': (_thinkpixel_llmgw_v1_ContentPart__Output)[];
  /**
   * Tells several participants of one role apart.
   */
  'name': (string);
  /**
   * ROLE_ASSISTANT only: the functions it called.
   */
  'toolCalls': (_thinkpixel_llmgw_v1_ToolCall__Output)[];
  /**
   * ROLE_TOOL only, and required there: the id of the call that this is the result of.
   */
  'toolCallId': (string);
  /**
   * ROLE_ASSISTANT only: why it would not answer.
   */
  'refusal': (string);
  /**
   * ROLE_ASSISTANT only, and only in answers: what it thought, as far as the provider tells.
   */
  'reasoning': (string);
  /**
   * Members of the message in OpenAI's form that have no field here, such as `thinking_blocks` and `annotations`. Send
   * back with a message what came with it: some providers insist.
   */
  'extra': (_google_protobuf_Struct__Output | null);
}
