import { openAiSettings } from '../openai/factory.ts'
import { createOpenAiProvider, createRelayReader } from '../openai/provider.ts'
import { type ProviderFactory, textSetting } from '../provider-factory.ts'
import { createDecodingReader } from './decoding-reader.ts'
import { isPresetName, noPreset, type Preset, presets } from './presets.ts'

export const createOpenAiCompatible: ProviderFactory = (source, { client }) => {
  const { clean, quirks } = presetOf(textSetting(source, 'preset'))
  const createReader = clean ? createRelayReader : createDecodingReader
  return createOpenAiProvider(openAiSettings(source), client, { type: source.type, createReader, quirks })
}

const presetOf = (name: string | undefined): Preset =>
  name !== undefined && isPresetName(name) ? presets[name] : noPreset
