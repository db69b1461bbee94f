import fc from 'fast-check'

/** The same bytes in pieces cut anywhere, some of them empty. */
export const cutAnywhere = (bytes: Buffer): fc.Arbitrary<Buffer[]> =>
  fc.array(fc.nat(bytes.length), { maxLength: 24 }).map((cuts) => {
    const places = [0, ...cuts.sort((a, b) => a - b), bytes.length]
    return places.slice(1).map((to, at) => bytes.subarray(places[at], to))
  })

/** Each byte on its own. */
export const oneByOne = (bytes: Buffer): Buffer[] => Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))
