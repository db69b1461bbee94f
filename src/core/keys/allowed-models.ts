import type { Caller } from './caller.ts'

/**
 * Which models a key may use. A pattern is a name in which `*` stands for any characters, slashes included; it is
 * compared with whole names, and case matters. There are two kinds of names:
 *
 * - what the operator named: an alias. A pattern that matches it allows everything the alias stands for, its fallback
 *   targets too, whatever provider they are at.
 * - what is reached: a target's `provider/model`. A pattern that matches it allows this one target, however it was
 *   asked for. Targets of an alias whose own name is not allowed are left out one by one.
 *
 * A pattern without a slash (`gpt-4o*`) also matches a bare model name, for calls that use the bare name. One with a
 * slash never does: model names may contain slashes, too, and `openai/*` must not allow the model
 * `openai/gpt-oss-120b` of some other provider.
 */
export interface AllowedModels {
  /** Compares with every pattern. */
  allowsName(aliasOrTarget: string): boolean
  /** Compares with the patterns that have no slash. */
  allowsBareName(model: string): boolean
}

export const patternLengthMax = 200
export const patternsMax = 200

/** @returns undefined when the key may use every model */
export function allowedModelsOf(caller: Caller): AllowedModels | undefined {
  if (caller.allowedModels === undefined) return undefined
  let compiled = compiledByPatterns.get(caller.allowedModels)
  if (!compiled) {
    compiled = compile(caller.allowedModels)
    compiledByPatterns.set(caller.allowedModels, compiled)
  }
  return compiled
}

/** @returns what is wrong with a pattern, in a sentence; undefined when it is fine */
export function patternProblem(pattern: string): string | undefined {
  if (pattern.length === 0) return 'A model pattern must not be empty.'
  if (pattern.length > patternLengthMax) return `A model pattern has at most ${patternLengthMax} characters.`
  if (!/^[\x21-\x7e]+$/.test(pattern)) return `The model pattern ${JSON.stringify(pattern)} must be visible ASCII.`
  if (/[[\]{}?^$\\|]|\*\*/.test(pattern)) {
    return `The model pattern "${pattern}" may use * as its only wildcard, e.g. openai/* or gpt-4o*.`
  }
  return undefined
}

/** A memo and not state: it lives as long as the cached key that carries the patterns. */
const compiledByPatterns = new WeakMap<readonly string[], AllowedModels>()

function compile(patterns: readonly string[]): AllowedModels {
  const all = patterns.map(matcherOf)
  const bare = patterns.filter((pattern) => !pattern.includes('/')).map(matcherOf)
  return {
    allowsName: (name) => all.some((matches) => matches(name)),
    allowsBareName: (name) => bare.some((matches) => matches(name)),
  }
}

/** Finds the pieces between the stars from left to right: linear, where a regular expression could be made to backtrack. */
function matcherOf(pattern: string): (name: string) => boolean {
  if (pattern === '*') return () => true
  const pieces = pattern.split('*')
  if (pieces.length === 1) return (name) => name === pattern
  const prefix = pieces[0] as string // split gives at least two pieces here
  const suffix = pieces[pieces.length - 1] as string
  const between = pieces.slice(1, -1).filter((piece) => piece !== '')
  return (name) => {
    if (name.length < prefix.length + suffix.length || !name.startsWith(prefix) || !name.endsWith(suffix)) return false
    const end = name.length - suffix.length
    let from = prefix.length
    for (const piece of between) {
      const at = name.indexOf(piece, from)
      if (at < 0 || at + piece.length > end) return false
      from = at + piece.length
    }
    return true
  }
}
