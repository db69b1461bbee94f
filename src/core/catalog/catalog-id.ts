// biome-ignore-all lint/plugin: this is the one place that says which published price list a provider's models stand in.
import type { ProviderType } from '../providers/provider.ts'

/**
 * The price list that the models of a provider type stand in. Undefined for types that have none of their own: an
 * OpenAI-compatible server is known by its preset, if at all.
 */
export function catalogOfProviderType(type: ProviderType): string | undefined {
  return catalogByProviderType[type]
}

const catalogByProviderType: Readonly<Record<ProviderType, string | undefined>> = {
  openai: 'openai',
  'azure-openai': 'azure',
  'openai-compatible': undefined,
  anthropic: 'anthropic',
  bedrock: 'bedrock',
  vertex: 'vertex',
  gemini: 'gemini',
  demo: undefined,
}

/** Catalog ids that differ from LiteLLM's provider ids by more than an underscore. */
const catalogByLitellmProvider: ReadonlyMap<string, string> = new Map([
  ['azure_text', 'azure'],
  ['bedrock_converse', 'bedrock'],
  ['cohere_chat', 'cohere'],
  ['fireworks_ai', 'fireworks'],
  ['fireworks_ai-embedding-models', 'fireworks'],
  ['text-completion-openai', 'openai'],
  ['text-completion-codestral', 'codestral'],
  ['text-completion-inception', 'inception'],
  ['together_ai', 'together'],
  ['vertex_ai', 'vertex'],
])

export function catalogOfLitellmProvider(provider: string): string {
  const catalog = catalogByLitellmProvider.get(provider)
  if (catalog) return catalog
  // "vertex_ai-anthropic_models" and a dozen like it: one platform, whoever made the model.
  return provider.startsWith('vertex_ai-') ? 'vertex' : provider.replaceAll('_', '-').toLowerCase()
}

/** First segments of LiteLLM's keys that only repeat the provider, beside the provider's id itself. */
const litellmKeyPrefixes: ReadonlyMap<string, string> = new Map([
  ['amazon_nova', 'amazon-nova'],
  ['azure_text', 'azure'],
  ['bedrock_converse', 'bedrock'],
  ['cohere_chat', 'cohere'],
  ['fireworks_ai-embedding-models', 'fireworks_ai'],
  ['text-completion-openai', 'openai'],
])

/** The model's name in a LiteLLM key: without the provider, where the key begins with it. */
export function modelNameOfLitellmKey(key: string, provider: string): { name: string; isPrefixed: boolean } {
  const family = provider.startsWith('vertex_ai-') ? 'vertex_ai' : litellmKeyPrefixes.get(provider)
  for (const prefix of [provider, family]) {
    if (prefix === undefined || !key.startsWith(`${prefix}/`) || key.length === prefix.length + 1) continue
    return { name: key.slice(prefix.length + 1), isPrefixed: true }
  }
  return { name: key, isPrefixed: false }
}

/** How the models of one provider of genai-prices are taken over. */
export interface GenaiProvider {
  /** Its id there. */
  id: string
  catalog: string
  /** Beginning of the model ids that belong to this catalog, where a provider of theirs is several of ours. */
  only?: 'gemini' | undefined
}

/**
 * Every provider of genai-prices 0.1.8 (read 2026-11-23); the library can look one up but does not list them. `google`
 * is both the Gemini API and Vertex AI there: the prices are the same, but only Vertex serves other makers' models.
 */
export const genaiProviders: readonly GenaiProvider[] = [
  { id: 'google', catalog: 'gemini', only: 'gemini' },
  { id: 'google', catalog: 'vertex' },
  { id: 'aws', catalog: 'bedrock' },
  { id: 'x-ai', catalog: 'xai' },
  { id: 'moonshotai', catalog: 'moonshot' },
  { id: 'voyageai', catalog: 'voyage' },
  ...[
    'anthropic',
    'arcee',
    'avian',
    'azure',
    'baseten',
    'cerebras',
    'cloudflare',
    'cohere',
    'cursor',
    'deepseek',
    'doubleword',
    'fireworks',
    'github-copilot',
    'groq',
    'huggingface_cerebras',
    'huggingface_fireworks-ai',
    'huggingface_groq',
    'huggingface_hyperbolic',
    'huggingface_nebius',
    'huggingface_novita',
    'huggingface_nscale',
    'huggingface_ovhcloud',
    'huggingface_publicai',
    'huggingface_sambanova',
    'huggingface_together',
    'minimax',
    'mistral',
    'modal',
    'novita',
    'openai',
    'openrouter',
    'ovhcloud',
    'perplexity',
    'quicksilverpro',
    'together',
    'typesafe',
    'zai',
    'zhipuai',
  ].map((id) => ({ id, catalog: id.replaceAll('_', '-') })),
]
