/** What a model of Anthropic's can be told; its own documentation has a table of each. */
export interface ModelAbilities {
  /** `output_config.format` and `strict` tools; models before it are given a tool whose input is the answer. */
  structuredOutputs: boolean
  /** `thinking: { type: 'adaptive' }` with `output_config.effort`; models before it are given a budget of tokens. */
  adaptiveThinking: boolean
  /** Thinks before it answers when told to. */
  thinking: boolean
  /** `temperature` and `top_p` are known, or refused. */
  sampling: 'both' | 'either' | 'none'
}

/**
 * By the name, as `GET /v1/models` does not say. A name of no known form is taken for a model newer than this table.
 *
 * https://platform.claude.com/docs/en/about-claude/models/overview
 */
export function abilitiesOf(model: string): ModelAbilities {
  const version = versionOf(model)
  if (version === undefined) return newest
  return {
    structuredOutputs: version >= 405 || (version >= 401 && /opus/.test(model)),
    adaptiveThinking: version >= 406,
    thinking: version >= 307,
    sampling: version >= 407 ? 'none' : version >= 401 ? 'either' : 'both',
  }
}

const newest: ModelAbilities = {
  structuredOutputs: true,
  adaptiveThinking: true,
  thinking: true,
  // Told to nobody who might refuse it, and lost for nobody who would not.
  sampling: 'either',
}

/** `claude-opus-4-5-20251101` is 405, `claude-3-7-sonnet-latest` 307, `claude-sonnet-4@20250514` 400. */
function versionOf(model: string): number | undefined {
  const found =
    /claude-[a-z]+-(\d)(?:[-.](\d{1,2}))?(?![0-9])/.exec(model) ?? /claude-(\d)(?:[-.](\d{1,2}))?(?![0-9])/.exec(model)
  return found ? Number(found[1]) * 100 + Number(found[2] ?? 0) : undefined
}
