import { CollectedAnswer, type CollectedChoice } from '../../core/chat/collected-answer.ts'
import type { AnswerIdentity, ChatEncoder } from './chat-encoder.ts'
import { toOpenAiUsage } from './openai-usage.ts'

/** Events as one `chat.completion`; `encode` never has anything to send, `end` has all of it. */
export function createCompletionCollector(identity: AnswerIdentity): ChatEncoder {
  const answer = new CollectedAnswer()
  return {
    encode(event) {
      answer.add(event)
      return undefined
    },
    end() {
      const { id, model, createdS, extra, usage, reported } = answer
      const completion = {
        id: id ?? identity.id,
        object: 'chat.completion',
        created: createdS ?? identity.createdS,
        model: model ?? identity.model,
        ...extra,
        choices: answer.choices().map(wireChoice),
        usage: usage && toOpenAiUsage(usage, reported),
      }
      return Buffer.from(JSON.stringify(completion))
    },
  }
}

function wireChoice({ index, text, reasoning, refusal, calls, extra, logprobs, reason }: CollectedChoice) {
  const toolCalls = calls.map(({ id, name, arguments: text, extra }) => ({
    id,
    type: 'function',
    function: { name, arguments: text },
    ...extra,
  }))
  return {
    index,
    message: {
      role: 'assistant',
      content: text === '' && (toolCalls.length > 0 || refusal !== '') ? null : text,
      refusal: refusal === '' ? null : refusal,
      ...(reasoning !== '' && { reasoning_content: reasoning }),
      ...(toolCalls.length > 0 && { tool_calls: toolCalls }),
      ...extra,
    },
    logprobs,
    finish_reason: reason,
  }
}
