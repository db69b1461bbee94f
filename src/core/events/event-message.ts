import type { GatewayEvent } from './event-bus.ts'

/** What replicas say to each other. A newer release may say more: what is not known is left alone. */
export type EventMessage =
  | { kind: 'event'; sender: EventSender; event: GatewayEvent }
  /** A sign of life. */
  | { kind: 'beat'; sender: EventSender }

export interface EventSender {
  replica: string
  /** Of this start of the replica: names are used again, and a process must know its own echo. */
  instance: string
}

const formatVersion = 1
const messageLengthMax = 16_384

/** The members of each event, by type. */
const members = {
  'key-changed': { keyId: 'string' },
  'key-ended': { keyId: 'string' },
  'key-policy-changed': {},
  'configuration-changed': {},
  'budget-recall': { periodId: 'string' },
  'budget-released': { periodId: 'string' },
  'usage-watched': {},
  'usage-recorded': { calls: 'string' },
  'provider-health-changed': { process: 'string', status: 'string' },
  'budget-alert': {
    budgetId: 'string',
    periodId: 'string',
    thresholdPercent: 'number',
    committedNano: 'string',
    limitNano: 'string',
  },
} as const satisfies {
  [Type in GatewayEvent['type']]: {
    [Member in Exclude<keyof Extract<GatewayEvent, { type: Type }>, 'type'>]: 'string' | 'number'
  }
}

export function encodeEventMessage(message: EventMessage): string {
  const { kind, sender } = message
  return JSON.stringify({
    v: formatVersion,
    replica: sender.replica,
    instance: sender.instance,
    ...(kind === 'event' && { event: message.event }),
  })
}

/** @returns 'unknown' for what a newer release may say, 'malformed' for what none of ours does */
export function decodeEventMessage(text: string): EventMessage | 'unknown' | 'malformed' {
  if (text.length > messageLengthMax) return 'malformed'
  const message = objectOf(text)
  if (typeof message?.v !== 'number') return 'malformed'
  if (message.v !== formatVersion) return 'unknown'
  const { replica, instance, event } = message
  if (typeof replica !== 'string' || typeof instance !== 'string') return 'malformed'
  const sender = { replica, instance }
  if (event === undefined) return { kind: 'beat', sender }
  const decoded = eventOf(event)
  return typeof decoded === 'string' ? decoded : { kind: 'event', sender, event: decoded }
}

function eventOf(given: unknown): GatewayEvent | 'unknown' | 'malformed' {
  if (!isObject(given) || typeof given.type !== 'string') return 'malformed'
  if (!Object.hasOwn(members, given.type)) return 'unknown'
  const event: Record<string, unknown> = { type: given.type }
  for (const [name, type] of Object.entries(members[given.type as GatewayEvent['type']])) {
    if (typeof given[name] !== type) return 'malformed'
    event[name] = given[name]
  }
  return event as GatewayEvent // of the table's making
}

function objectOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
