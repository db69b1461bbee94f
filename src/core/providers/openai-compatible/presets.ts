/** What is known about a service or server that speaks OpenAI's protocol, so that an operator need not know it. */
export interface Preset {
  /** Undefined where every installation has its own. */
  baseUrl: string | undefined
  /** The price list its models stand in, by the names of `catalog/catalog-id.ts`; undefined where there is none. */
  catalogId: string | undefined
  /**
   * Its answers are OpenAI's to the letter, so they may be relayed as bytes. False is always safe: the decoder reads
   * clean answers, too.
   */
  clean: boolean
  quirks: Quirks
}

/** Where requests must differ from OpenAI's. What is not named is as OpenAI has it. */
export interface Quirks {
  /** Usage comes in streams unasked, and asking for it (`stream_options`) is refused. */
  refusesStreamOptions?: true
  /** Knows the output cap by this name only. */
  outputCapMember?: 'max_tokens'
  /** Answers without a key. */
  keyOptional?: true
  /** Has no `/embeddings`. */
  noEmbeddings?: true
}

/** By name, as in a provider's `preset` setting. A test holds base URLs and catalog ids against the bundled catalog. */
export const presets = {
  alibaba: hosted('https://dashscope-intl.aliyuncs.com/compatible-mode/v1', 'dashscope'),
  baseten: hosted('https://inference.baseten.co/v1', 'baseten', { noEmbeddings: true }),
  cerebras: hosted('https://api.cerebras.ai/v1', 'cerebras', { noEmbeddings: true }),
  cohere: hosted('https://api.cohere.ai/compatibility/v1', 'cohere', {
    refusesStreamOptions: true,
    outputCapMember: 'max_tokens',
  }),
  deepinfra: hosted('https://api.deepinfra.com/v1/openai', 'deepinfra'),
  deepseek: hosted('https://api.deepseek.com/v1', 'deepseek', { outputCapMember: 'max_tokens', noEmbeddings: true }),
  fireworks: hosted('https://api.fireworks.ai/inference/v1', 'fireworks', { outputCapMember: 'max_tokens' }),
  groq: hosted('https://api.groq.com/openai/v1', 'groq', { noEmbeddings: true }),
  huggingface: hosted('https://router.huggingface.co/v1', undefined, {
    outputCapMember: 'max_tokens',
    noEmbeddings: true,
  }),
  llamacpp: local('http://127.0.0.1:8080/v1'),
  lmstudio: local('http://127.0.0.1:1234/v1'),
  minimax: hosted('https://api.minimax.io/v1', 'minimax', { noEmbeddings: true }),
  mistral: hosted('https://api.mistral.ai/v1', 'mistral', {
    refusesStreamOptions: true,
    outputCapMember: 'max_tokens',
  }),
  moonshot: hosted('https://api.moonshot.ai/v1', 'moonshot', { outputCapMember: 'max_tokens', noEmbeddings: true }),
  novita: hosted('https://api.novita.ai/v3/openai', 'novita', { outputCapMember: 'max_tokens' }),
  nvidia: hosted('https://integrate.api.nvidia.com/v1', 'nvidia-nim', { outputCapMember: 'max_tokens' }),
  ollama: local('http://127.0.0.1:11434/v1'),
  openrouter: hosted('https://openrouter.ai/api/v1', 'openrouter'),
  ovhcloud: hosted('https://oai.endpoints.kepler.ai.cloud.ovh.net/v1', 'ovhcloud'),
  perplexity: hosted('https://api.perplexity.ai', 'perplexity', { outputCapMember: 'max_tokens', noEmbeddings: true }),
  sambanova: hosted('https://api.sambanova.ai/v1', 'sambanova', { outputCapMember: 'max_tokens' }),
  sglang: local('http://127.0.0.1:30000/v1'),
  tgi: local('http://127.0.0.1:8080/v1', { noEmbeddings: true }),
  together: hosted('https://api.together.xyz/v1', 'together', { outputCapMember: 'max_tokens' }),
  vllm: { ...local('http://127.0.0.1:8000/v1'), clean: true, quirks: { keyOptional: true } },
  xai: hosted('https://api.x.ai/v1', 'xai', { noEmbeddings: true }),
  zai: hosted('https://api.z.ai/api/paas/v4', 'zai', { outputCapMember: 'max_tokens', noEmbeddings: true }),
} as const satisfies Record<string, Preset>

export type PresetName = keyof typeof presets

export const isPresetName = (name: string): name is PresetName => Object.hasOwn(presets, name)

/** A provider of this type without a preset: nothing is taken for granted. */
export const noPreset: Preset = {
  baseUrl: undefined,
  catalogId: undefined,
  clean: false,
  quirks: { keyOptional: true },
}

function hosted(baseUrl: string, catalogId: string | undefined, quirks: Quirks = {}): Preset {
  return { baseUrl, catalogId, clean: false, quirks }
}

/** Plain http on the same machine: to be named in LLMGW_PRIVATE_UPSTREAMS. Older versions know only `max_tokens`. */
function local(baseUrl: string, quirks: Quirks = {}): Preset {
  return {
    baseUrl,
    catalogId: undefined,
    clean: false,
    quirks: { keyOptional: true, outputCapMember: 'max_tokens', ...quirks },
  }
}
