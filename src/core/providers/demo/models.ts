/** A model of the demo provider, as a catalog would describe it. */
export interface DemoModel {
  name: string
  mode: 'chat' | 'embedding'
  contextWindowTokens: number
  maxOutputTokens: number | undefined
  features: Readonly<Record<string, boolean | number>>
  /** Invented, and small: so that spend shows up, and a first budget lasts. Dollars for a million tokens. */
  inputUsdPerMillion: string
  outputUsdPerMillion: string
}

export const demoModels: readonly DemoModel[] = [
  {
    name: 'demo-chat',
    mode: 'chat',
    contextWindowTokens: 128_000,
    maxOutputTokens: 4_096,
    features: { tools: true, tool_choice: true, json_schema: true, system_messages: true },
    inputUsdPerMillion: '0.1',
    outputUsdPerMillion: '0.4',
  },
  {
    name: 'demo-embedding',
    mode: 'embedding',
    contextWindowTokens: 8_192,
    maxOutputTokens: undefined,
    features: { output_vector_size: 256 },
    inputUsdPerMillion: '0.02',
    outputUsdPerMillion: '0',
  },
]
