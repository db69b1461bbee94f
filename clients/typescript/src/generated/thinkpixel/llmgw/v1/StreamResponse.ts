// Original file: proto/thinkpixel/llmgw/v1/chat_service.proto

import type { StartEvent as _thinkpixel_llmgw_v1_StartEvent, StartEvent__Output as _thinkpixel_llmgw_v1_StartEvent__Output } from '../../../thinkpixel/llmgw/v1/StartEvent.ts';
import type { RoleEvent as _thinkpixel_llmgw_v1_RoleEvent, RoleEvent__Output as _thinkpixel_llmgw_v1_RoleEvent__Output } from '../../../thinkpixel/llmgw/v1/RoleEvent.ts';
import type { TextEvent as _thinkpixel_llmgw_v1_TextEvent, TextEvent__Output as _thinkpixel_llmgw_v1_TextEvent__Output } from '../../../thinkpixel/llmgw/v1/TextEvent.ts';
import type { ReasoningEvent as _thinkpixel_llmgw_v1_ReasoningEvent, ReasoningEvent__Output as _thinkpixel_llmgw_v1_ReasoningEvent__Output } from '../../../thinkpixel/llmgw/v1/ReasoningEvent.ts';
import type { RefusalEvent as _thinkpixel_llmgw_v1_RefusalEvent, RefusalEvent__Output as _thinkpixel_llmgw_v1_RefusalEvent__Output } from '../../../thinkpixel/llmgw/v1/RefusalEvent.ts';
import type { ToolCallStartEvent as _thinkpixel_llmgw_v1_ToolCallStartEvent, ToolCallStartEvent__Output as _thinkpixel_llmgw_v1_ToolCallStartEvent__Output } from '../../../thinkpixel/llmgw/v1/ToolCallStartEvent.ts';
import type { ToolCallArgumentsEvent as _thinkpixel_llmgw_v1_ToolCallArgumentsEvent, ToolCallArgumentsEvent__Output as _thinkpixel_llmgw_v1_ToolCallArgumentsEvent__Output } from '../../../thinkpixel/llmgw/v1/ToolCallArgumentsEvent.ts';
import type { ExtraEvent as _thinkpixel_llmgw_v1_ExtraEvent, ExtraEvent__Output as _thinkpixel_llmgw_v1_ExtraEvent__Output } from '../../../thinkpixel/llmgw/v1/ExtraEvent.ts';
import type { ChoiceEndEvent as _thinkpixel_llmgw_v1_ChoiceEndEvent, ChoiceEndEvent__Output as _thinkpixel_llmgw_v1_ChoiceEndEvent__Output } from '../../../thinkpixel/llmgw/v1/ChoiceEndEvent.ts';
import type { UsageEvent as _thinkpixel_llmgw_v1_UsageEvent, UsageEvent__Output as _thinkpixel_llmgw_v1_UsageEvent__Output } from '../../../thinkpixel/llmgw/v1/UsageEvent.ts';
import type { EndEvent as _thinkpixel_llmgw_v1_EndEvent, EndEvent__Output as _thinkpixel_llmgw_v1_EndEvent__Output } from '../../../thinkpixel/llmgw/v1/EndEvent.ts';

/**
 * One piece of an answer. New kinds may come: skip what you do not know.
 */
export interface StreamResponse {
  /**
   * The first one: who answers.
   */
  'start'?: (_thinkpixel_llmgw_v1_StartEvent | null);
  /**
   * A choice begins.
   */
  'role'?: (_thinkpixel_llmgw_v1_RoleEvent | null);
  /**
   * More text of the answer.
   */
  'text'?: (_thinkpixel_llmgw_v1_TextEvent | null);
  /**
   * More of what the model thinks, as far as the provider tells.
   */
  'reasoning'?: (_thinkpixel_llmgw_v1_ReasoningEvent | null);
  /**
   * More of why the model will not answer.
   */
  'refusal'?: (_thinkpixel_llmgw_v1_RefusalEvent | null);
  /**
   * The model calls a function.
   */
  'toolCallStart'?: (_thinkpixel_llmgw_v1_ToolCallStartEvent | null);
  /**
   * More of a call's arguments.
   */
  'toolCallArguments'?: (_thinkpixel_llmgw_v1_ToolCallArgumentsEvent | null);
  /**
   * Members that have no event of their own.
   */
  'extra'?: (_thinkpixel_llmgw_v1_ExtraEvent | null);
  /**
   * A choice is at its end.
   */
  'choiceEnd'?: (_thinkpixel_llmgw_v1_ChoiceEndEvent | null);
  /**
   * What the answer consumed, as the provider reports it.
   */
  'usage'?: (_thinkpixel_llmgw_v1_UsageEvent | null);
  /**
   * The last one: the answer is whole and accounted for.
   */
  'end'?: (_thinkpixel_llmgw_v1_EndEvent | null);
  /**
   * Exactly one of them.
   */
  'event'?: "start"|"role"|"text"|"reasoning"|"refusal"|"toolCallStart"|"toolCallArguments"|"extra"|"choiceEnd"|"usage"|"end";
}

/**
 * One piece of an answer. New kinds may come: skip what you do not know.
 */
export interface StreamResponse__Output {
  /**
   * The first one: who answers.
   */
  'start'?: (_thinkpixel_llmgw_v1_StartEvent__Output | null);
  /**
   * A choice begins.
   */
  'role'?: (_thinkpixel_llmgw_v1_RoleEvent__Output | null);
  /**
   * More text of the answer.
   */
  'text'?: (_thinkpixel_llmgw_v1_TextEvent__Output | null);
  /**
   * More of what the model thinks, as far as the provider tells.
   */
  'reasoning'?: (_thinkpixel_llmgw_v1_ReasoningEvent__Output | null);
  /**
   * More of why the model will not answer.
   */
  'refusal'?: (_thinkpixel_llmgw_v1_RefusalEvent__Output | null);
  /**
   * The model calls a function.
   */
  'toolCallStart'?: (_thinkpixel_llmgw_v1_ToolCallStartEvent__Output | null);
  /**
   * More of a call's arguments.
   */
  'toolCallArguments'?: (_thinkpixel_llmgw_v1_ToolCallArgumentsEvent__Output | null);
  /**
   * Members that have no event of their own.
   */
  'extra'?: (_thinkpixel_llmgw_v1_ExtraEvent__Output | null);
  /**
   * A choice is at its end.
   */
  'choiceEnd'?: (_thinkpixel_llmgw_v1_ChoiceEndEvent__Output | null);
  /**
   * What the answer consumed, as the provider reports it.
   */
  'usage'?: (_thinkpixel_llmgw_v1_UsageEvent__Output | null);
  /**
   * The last one: the answer is whole and accounted for.
   */
  'end'?: (_thinkpixel_llmgw_v1_EndEvent__Output | null);
  /**
   * Exactly one of them.
   */
  'event'?: "start"|"role"|"text"|"reasoning"|"refusal"|"toolCallStart"|"toolCallArguments"|"extra"|"choiceEnd"|"usage"|"end";
}
