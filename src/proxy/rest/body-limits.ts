import { GatewayError } from '../../core/errors.ts'

const depthMax = 32
const arrayItemsMax = 10_000

/** Tokens we take an image or another attached document to be, where the provider does not count for us. */
const attachmentTokens = 1_000
const textUnitsPerToken = 4

export interface BodyMeasure {
  /** UTF-16 units of all text in the body, attachments aside. */
  textUnits: number
  /** Strings that are data URLs: images, audio, documents. */
  attachments: number
}

/**
 * Walks a parsed body once: refuses what could hurt whoever handles it later, and measures it for our own estimate of
 * its tokens.
 *
 * @throws GatewayError invalid_body
 */
export function measureWithinLimits(body: object): BodyMeasure {
  const measure: BodyMeasure = { textUnits: 0, attachments: 0 }
  walk(body, 1, measure)
  return measure
}

export function estimatedTokens({ textUnits, attachments }: BodyMeasure): number {
  return Math.ceil(textUnits / textUnitsPerToken) + attachments * attachmentTokens
}

function walk(value: object, depth: number, measure: BodyMeasure): void {
  if (depth > depthMax) throw refusal(`is nested deeper than ${depthMax} levels`)
  if (Array.isArray(value)) {
    if (value.length > arrayItemsMax) throw refusal(`has an array of more than ${arrayItemsMax} items`)
    for (const item of value) visit(item, depth, measure)
    return
  }
  for (const name in value) {
    if (name === '__proto__') throw refusal('has a member named __proto__')
    const item = (value as Record<string, unknown>)[name]
    if (name === 'constructor' && typeof item === 'object' && item !== null && Object.hasOwn(item, 'prototype')) {
      throw refusal('has a member named constructor.prototype')
    }
    visit(item, depth, measure)
  }
}

function visit(item: unknown, depth: number, measure: BodyMeasure): void {
  if (typeof item === 'string') {
    if (item.length > 1024 && item.startsWith('data:')) measure.attachments++
    else measure.textUnits += item.length
  } else if (typeof item === 'object' && item !== null) {
    walk(item, depth + 1, measure)
  }
}

const refusal = (what: string): GatewayError => new GatewayError('invalid_body', `The request body ${what}.`)
