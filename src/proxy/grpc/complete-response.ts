import type { CollectedAnswer, CollectedChoice } from '../../core/chat/collected-answer.ts'
import type { FinishReason } from '../../core/chat/event.ts'
import type { UsageEnd } from '../../core/usage/usage-record.ts'
import type { Choice } from '../../generated/proto/thinkpixel/llmgw/v1/Choice.ts'
import type { CompleteResponse } from '../../generated/proto/thinkpixel/llmgw/v1/CompleteResponse.ts'
import type { FinishReason as WireFinishReason } from '../../generated/proto/thinkpixel/llmgw/v1/FinishReason.ts'
import type { Message } from '../../generated/proto/thinkpixel/llmgw/v1/Message.ts'
import { secondsOf } from '../answer-identity.ts'
import { callSummary } from './call-summary.ts'
import { toStruct } from './struct.ts'

export const finishReasons = {
  stop: 'FINISH_REASON_STOP',
  length: 'FINISH_REASON_LENGTH',
  tool_calls: 'FINISH_REASON_TOOL_CALLS',
  content_filter: 'FINISH_REASON_CONTENT_FILTER',
} as const satisfies Record<FinishReason, WireFinishReason>

/** @param requestedModel - as the client named it, where the upstream does not say */
export function completeResponse(answer: CollectedAnswer, record: UsageEnd, requestedModel: string): CompleteResponse {
  const { request_id: requestId } = record
  return {
    id: answer.id ?? `chatcmpl-${requestId}`,
    model: answer.model ?? requestedModel,
    createTime: { seconds: answer.createdS ?? secondsOf(requestId) },
    choices: answer.choices().map(choiceOf),
    summary: callSummary(record),
    extra: structIfAny(answer.extra),
  }
}

function choiceOf(choice: CollectedChoice): Choice {
  const { index, logprobs, reason } = choice
  return {
    index,
    message: messageOf(choice),
    finishReason: finishReasons[reason],
    logprobs: logprobs && toStruct(logprobs),
  }
}

const messageOf = ({ text, refusal, reasoning, calls, extra }: CollectedChoice): Message => ({
  role: 'ROLE_ASSISTANT',
  content: text === '' ? [] : [{ text }],
  refusal,
  reasoning,
  toolCalls: calls.map(({ id, name, arguments: args, extra }) => ({
    id,
    name,
    arguments: args,
    extra: structIfAny(extra),
  })),
  extra: structIfAny(extra),
})

const structIfAny = (members: Readonly<Record<string, unknown>> | undefined) =>
  members && Object.keys(members).length > 0 ? toStruct(members) : null
