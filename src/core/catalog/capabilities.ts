import type { Features } from './catalog-model.ts'

export interface Capabilities {
  contextWindowTokens: number
  maxOutputTokens: number | undefined
  inputModalities: readonly string[]
  outputModalities: readonly string[]
  features: Features
}

/**
 * What common models can do, where the bundled prices do not say. Written down from the makers' model pages as they
 * were generally known on 2026-11-23, and approximate: good enough to bound an answer until a catalog sync, which
 * replaces all of it, has run. Add a model when it is missed, not for completeness.
 *
 * @param name - the model's own name, without a provider; a dated snapshot is known by the name without its date
 */
export function capabilitiesOf(name: string): Capabilities | undefined {
  const bare = name.replace(/^.*\//, '')
  return byName.get(bare) ?? byName.get(bare.replace(/[-@](20\d{2}-\d{2}-\d{2}|20\d{6}|latest)$/, ''))
}

const text = ['text']
const textAndImage = ['text', 'image']
const anyMedia = ['text', 'image', 'audio', 'video', 'file']

const chat: Features = {
  tools: true,
  tool_choice: true,
  parallel_tools: true,
  json_schema: true,
  system_messages: true,
}
const seeing: Features = { ...chat, vision: true }
const caching: Features = { ...seeing, prompt_caching: true }
const thinking: Features = { ...caching, reasoning: true }

type Line = [
  names: string,
  contextWindowTokens: number,
  maxOutputTokens: number | undefined,
  Features,
  string[]?,
  string[]?,
]

const lines: readonly Line[] = [
  // OpenAI: platform.openai.com/docs/models
  ['gpt-3.5-turbo', 16_385, 4_096, { tools: true, tool_choice: true, parallel_tools: true, system_messages: true }],
  ['gpt-4', 8_192, 8_192, { tools: true, tool_choice: true, system_messages: true }],
  ['gpt-4-turbo', 128_000, 4_096, seeing, textAndImage],
  ['gpt-4o gpt-4o-mini chatgpt-4o-latest', 128_000, 16_384, caching, textAndImage],
  ['gpt-4o-audio-preview gpt-4o-mini-audio-preview', 128_000, 16_384, chat, ['text', 'audio'], ['text', 'audio']],
  ['gpt-4.1 gpt-4.1-mini gpt-4.1-nano', 1_047_576, 32_768, caching, textAndImage],
  ['o1 o1-pro o3 o3-pro o4-mini', 200_000, 100_000, thinking, textAndImage],
  ['o1-mini', 128_000, 65_536, { reasoning: true }],
  ['o1-preview', 128_000, 32_768, { reasoning: true }],
  ['o3-mini', 200_000, 100_000, { ...chat, prompt_caching: true, reasoning: true }],
  ['gpt-5 gpt-5-mini gpt-5-nano gpt-5-codex gpt-5.1 gpt-5.1-codex', 272_000, 128_000, thinking, textAndImage],
  ['gpt-5-pro', 272_000, 272_000, thinking, textAndImage],
  ['gpt-5-chat gpt-5-chat-latest gpt-5.1-chat gpt-5.1-chat-latest', 128_000, 16_384, caching, textAndImage],
  ['text-embedding-3-small text-embedding-3-large', 8_191, undefined, {}, text, ['embedding']],
  ['text-embedding-ada-002', 8_191, undefined, {}, text, ['embedding']],
  // Anthropic: docs.anthropic.com/en/docs/about-claude/models
  ['claude-3-haiku claude-3-sonnet claude-3-opus', 200_000, 4_096, caching, textAndImage],
  ['claude-3-5-haiku claude-3-5-sonnet', 200_000, 8_192, caching, textAndImage],
  ['claude-3-7-sonnet', 200_000, 64_000, thinking, textAndImage],
  ['claude-opus-4 claude-opus-4-0 claude-opus-4-1', 200_000, 32_000, thinking, textAndImage],
  ['claude-sonnet-4 claude-sonnet-4-0 claude-sonnet-4-5', 200_000, 64_000, thinking, textAndImage],
  ['claude-haiku-4-5 claude-opus-4-5', 200_000, 64_000, thinking, textAndImage],
  // Google: ai.google.dev/gemini-api/docs/models
  ['gemini-1.5-flash gemini-1.5-pro', 1_048_576, 8_192, caching, anyMedia],
  ['gemini-2.0-flash gemini-2.0-flash-lite', 1_048_576, 8_192, caching, anyMedia],
  ['gemini-2.5-flash gemini-2.5-flash-lite gemini-2.5-pro', 1_048_576, 65_535, thinking, anyMedia],
  ['gemini-3-pro-preview gemini-3-flash-preview', 1_048_576, 65_535, thinking, anyMedia],
  ['gemini-embedding-001', 2_048, undefined, {}, text, ['embedding']],
]

const byName: ReadonlyMap<string, Capabilities> = new Map(
  lines.flatMap(([names, contextWindowTokens, maxOutputTokens, features, inputs = text, outputs = text]) =>
    names
      .split(' ')
      .map((name): [string, Capabilities] => [
        name,
        { contextWindowTokens, maxOutputTokens, features, inputModalities: inputs, outputModalities: outputs },
      ]),
  ),
)
