import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const root = join(import.meta.dirname, '../..')
const rows = Array.from(
  readFileSync(join(root, 'docs/translation.md'), 'utf8').matchAll(/^\| (\d+) \| .* \| `([^`]+)`: (.+) \|$/gm),
  ([, number, file, words]) => ({ number: Number(number), file: file as string, words: words as string }),
)

test('the list of pitfalls is whole', () => {
  expect(rows.map(({ number }) => number)).toEqual(Array.from({ length: 61 }, (_, at) => at + 1))
})

test.each(rows)('$number: $file has the test "$words"', ({ file, words }) => {
  const path = [join(root, file), join(root, 'src/core/providers', file)].find((one) => existsSync(one))
  const source = readFileSync(path ?? '', 'utf8')
  const titles = source.split('\n').filter((line) => /['"`]/.test(line) && !line.startsWith('import'))
  expect(titles.some((line) => line.includes(words))).toBe(true)
})
