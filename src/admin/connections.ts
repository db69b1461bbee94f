import { badInput } from './errors.ts'

const pageMax = 100
const cursorLengthMax = 500

export interface Connection<Node> {
  edges: { cursor: string; node: Node }[]
  nodes: Node[]
  pageInfo: { hasNextPage: boolean; endCursor: string | null }
}

/** How many rows to read for a page: one more than it has tells whether there is another. */
export function limitOf(first: number): number {
  if (!Number.isInteger(first) || first < 1 || first > pageMax) {
    throw badInput(`first must be a whole number from 1 to ${pageMax}.`)
  }
  return first + 1
}

/** @param position - what a cursor of a row holds */
export function connectionOf<Node>(
  rows: readonly Node[],
  first: number,
  position: (row: Node) => readonly string[],
): Connection<Node> {
  const edges = rows.slice(0, first).map((node) => ({ cursor: cursorOf(position(node)), node }))
  return {
    edges,
    nodes: edges.map((edge) => edge.node),
    pageInfo: { hasNextPage: rows.length > first, endCursor: edges.at(-1)?.cursor ?? null },
  }
}

const cursorOf = (position: readonly string[]): string => Buffer.from(JSON.stringify(position)).toString('base64url')

/** @returns the position that a cursor holds, of so many parts; undefined without a cursor */
export function positionIn(after: string | null | undefined, parts: number): string[] | undefined {
  if (after === null || after === undefined) return undefined
  try {
    const position: unknown = after.length > cursorLengthMax ? undefined : JSON.parse(textOf(after))
    if (Array.isArray(position) && position.length === parts && position.every((part) => typeof part === 'string')) {
      return position
    }
  } catch {
    // It is no JSON, and no cursor of ours.
  }
  throw badInput('after is no cursor of this list. Take it from pageInfo.endCursor or from an edge.')
}

const textOf = (cursor: string): string => Buffer.from(cursor, 'base64url').toString('utf8')
