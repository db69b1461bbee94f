/** A request that a hostile or broken client might send. */
export interface FuzzBody {
  path: '/v1/chat/completions' | '/v1/embeddings'
  bytes: Buffer
}

/**
 * Bodies guided by the schema: a valid request, or one in which some values have been exchanged for others, or one whose
 * text has been damaged.
 *
 * @returns the body of that number; the same for the same seed
 */
export function fuzzBody(seed: number, number: number): FuzzBody {
  const random = createRandom(seed + Math.imul(number, 0x9e3779b1))
  const isChat = random.chance(0.7)
  const body: Members = isChat ? chatRequest(random) : embeddingsRequest(random)
  for (let mutations = random.pick([0, 0, 1, 1, 2, 3, 5]); mutations > 0; mutations--) mutate(random, body, 0)
  // Large bodies are read another way than small ones.
  if (random.chance(0.04)) body.padding = 'x'.repeat(17_000)
  const text = random.chance(0.3) ? damaged(random, JSON.stringify(body)) : JSON.stringify(body)
  const bytes = Buffer.from(text)
  return {
    path: isChat ? '/v1/chat/completions' : '/v1/embeddings',
    bytes: random.chance(0.1) ? withDamagedBytes(random, bytes) : bytes,
  }
}

interface Random {
  /** From 0 up to, not including, this. */
  below(limit: number): number
  chance(probability: number): boolean
  pick<T>(items: readonly T[]): T
}

/** mulberry32, by Tommy Ettinger: 32 bits of state are plenty here. */
function createRandom(seed: number): Random {
  let state = seed | 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  return {
    below: (limit) => Math.floor(next() * limit),
    chance: (probability) => next() < probability,
    pick: (items) => items[Math.floor(next() * items.length)] as (typeof items)[number],
  }
}

type Members = Record<string, unknown>

const chatModels = ['demo-chat', 'demo-chat', 'demo-chat', 'demo/demo-chat', 'round-numbers', 'smart', 'peer-chat']
const embeddingModels = ['demo-embedding', 'demo-embedding', 'demo/demo-embedding', 'text-embedding-3-small']

const texts = [
  '',
  'hello',
  ' ',
  'Grüße, 世界',
  '👩‍🚀 e\u0301',
  '\u0000',
  '\ud800',
  'a\udc00b',
  '\ufeff',
  '\u202eright to left',
  '\u2028\u2029',
  '\r\n\r\nHTTP/1.1 200 OK\r\n\r\n',
  'data: [DONE]\n\n',
  '{"usage":{"prompt_tokens":1}}',
  '"error":{',
  "'; drop table usage_records; --",
  '../../etc/passwd',
  '%00%0a',
  'x'.repeat(300),
  'data:image/png;base64,'.padEnd(1_100, 'A'),
  '__proto__',
  'constructor',
  'model-of-nobody',
  'peer/',
  '/',
  'openai/\ud800',
  'openai/a\u0000b',
  'openai/модель',
]
const numbers = [0, -0, 1, 2, 3, -1, 0.5, 128, 129, 1e9, 2 ** 53, -(2 ** 53), 1e308, 5e-324, 4_294_967_296]
const names = [
  'model',
  'messages',
  'input',
  'stream',
  'stream_options',
  'n',
  'max_tokens',
  'max_completion_tokens',
  'user',
  'encoding_format',
  'dimensions',
  'tools',
  'tool_choice',
  'response_format',
  'stop',
  'toString',
  'hasOwnProperty',
  'length',
  '',
  '\u0000',
  'an_unknown_member',
]

const chatRequest = (random: Random): Members => ({
  model: random.pick(chatModels),
  messages: Array.from({ length: 1 + random.below(3) }, () => message(random)),
  max_tokens: 1 + random.below(8),
  ...(random.chance(0.4) && { stream: random.chance(0.8) }),
  ...(random.chance(0.2) && { stream_options: { include_usage: random.chance(0.7) } }),
  ...(random.chance(0.1) && { n: 1 + random.below(3) }),
  ...(random.chance(0.1) && { user: random.pick(texts) }),
  ...(random.chance(0.1) && { tools: [tool()], tool_choice: random.pick(['auto', 'required', 'none']) }),
  ...(random.chance(0.1) && { response_format: { type: random.pick(['text', 'json_object']) } }),
  ...(random.chance(0.1) && { temperature: random.pick(numbers), stop: [random.pick(texts)] }),
})

const tool = (): Members => ({
  type: 'function',
  function: { name: 'look', parameters: { type: 'object', properties: {} } },
})

const message = (random: Random): Members => ({
  role: random.pick(['system', 'user', 'assistant', 'tool']),
  content: random.chance(0.8) ? random.pick(texts) : [{ type: 'text', text: random.pick(texts) }],
})

const embeddingsRequest = (random: Random): Members => ({
  model: random.pick(embeddingModels),
  input: random.pick<unknown>(['one text', ['one', 'two'], [1, 2, 3], [[1, 2], [3]], random.pick(texts)]),
  dimensions: random.pick([1, 8, 16]),
  ...(random.chance(0.5) && { encoding_format: random.pick(['float', 'base64', null]) }),
  ...(random.chance(0.1) && { user: random.pick(texts) }),
})

/** Changes one thing somewhere in a value. */
function mutate(random: Random, value: Members | unknown[], depth: number): void {
  // Members of a list are its places, the next one included.
  const members = value as Members
  const present = Object.keys(value)
  const absent = Array.isArray(value) ? String(value.length) : random.pick(names)
  const name = present.length > 0 && random.chance(0.7) ? random.pick(present) : absent
  const inner = Object.hasOwn(value, name) ? members[name] : undefined
  if (typeof inner === 'object' && inner !== null && depth < 4 && random.chance(0.6)) {
    mutate(random, inner as Members, depth + 1)
  } else if (random.chance(0.15)) {
    delete members[name]
  } else {
    members[name] = anyValue(random, 0)
  }
}

function anyValue(random: Random, depth: number): unknown {
  const kind = random.below(depth > 3 ? 5 : 9)
  switch (kind) {
    case 0:
      return null
    case 1:
      return random.chance(0.5)
    case 2:
      return random.pick(numbers)
    case 3:
    case 4:
      return random.pick(texts)
    case 5:
    case 6:
      return Array.from({ length: random.below(4) }, () => anyValue(random, depth + 1))
    case 7:
      return Object.fromEntries(
        Array.from({ length: random.below(4) }, () => [random.pick(names), anyValue(random, depth + 1)]),
      )
    default:
      return unusual(random)
  }
}

/** What takes a while to write or to read, hence is rare. */
function unusual(random: Random): unknown {
  if (!random.chance(0.05)) return random.pick([[], {}, [[]], [{}], { a: { b: { c: [] } } }])
  if (random.chance(0.3)) return Array.from({ length: random.pick([2_049, 10_001]) }, () => random.pick(numbers))
  let nested: unknown = random.pick(texts)
  for (let level = random.pick([10, 30, 31, 33, 200, 2_000]); level > 0; level--)
    nested = level % 2 ? [nested] : { a: nested }
  return nested
}

const insertions = [
  '"model":"demo-chat",',
  '"stream":true,',
  '"__proto__":{"polluted":true},',
  '"constructor":{"prototype":{"polluted":true}},',
  '"mod\\u0065l":"demo-chat",',
  '"a":1e999999,',
  '"a":-0.0e-0,',
  '"a":00,',
  '"a":"\\ud800",',
  '"a":"\\x41",',
  '"a":NaN,',
  ',',
  '}',
  '{',
  '[',
  '"',
  '\\',
  '\u0000',
  '\ufeff',
  '/**/',
  '['.repeat(5_000),
  '{"a":'.repeat(3_000),
]

/** Text that need not be JSON any more. */
function damaged(random: Random, text: string): string {
  switch (random.below(5)) {
    case 0:
      return text.slice(0, random.below(text.length))
    case 1:
      return `{${random.pick(insertions)}${text.slice(1)}`
    case 2: {
      const at = random.below(text.length)
      return text.slice(0, at) + random.pick(insertions) + text.slice(at)
    }
    case 3:
      return random.pick(['', 'null', '[]', '"', '0', '{}', ' ', text + text, `${text}\n`, ` ${text} `, `[${text}]`])
    default: {
      const at = random.below(text.length)
      return text.slice(0, at) + text.slice(at + 1 + random.below(10))
    }
  }
}

function withDamagedBytes(random: Random, bytes: Buffer): Buffer {
  if (bytes.length === 0) return bytes
  const copy = Buffer.from(bytes)
  for (let times = 1 + random.below(4); times > 0; times--) copy[random.below(copy.length)] = random.below(256)
  return copy
}
