import { expect, test } from 'vitest'
import { Secret } from '../core/secret.ts'
import { readConfigFile } from './config-file.ts'

function read(
  path: string,
  text: string,
  environment: Record<string, string> = {},
  files: Record<string, string> = {},
) {
  const all: Record<string, string> = { [path]: text, ...files }
  return readConfigFile(path, environment, (file) => {
    const content = all[file]
    if (content === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' })
    return content
  })
}

const problemsOf = (path: string, text: string): string[] =>
  read(path, text).problems.map((problem) => `${problem.path}: ${problem.message}`)

test('${NAME} is replaced in text, anywhere in it, and nowhere else', () => {
  const text = 'a: "${A}"\nb: "x${A}y${B}z"\nc: "$${A} $$ $A"\nd: 1\n"${A}": key'
  const { content, problems, variables } = read('c.yaml', text, { A: 'one', B: '${A}' })
  expect(content).toEqual({ a: 'one', b: 'xoney${A}z', c: '${A} $$ $A', d: 1, '${A}': 'key' })
  expect(problems).toEqual([])
  expect([...variables]).toEqual(['A', 'B'])
})

test('a default stands in for what is not set, and for what is set to nothing', () => {
  const text = 'a: "${A:-x y}"\nb: "${B:-x}"\nc: "${C:-}"\nd: "${D:-a:-b}"\ne: "${B}"'
  expect(read('c.yaml', text, { A: 'set', B: '' }).content).toEqual({ a: 'set', b: 'x', c: '', d: 'a:-b', e: '' })
})

test('a variable that is not set is a problem with its place and its name', () => {
  expect(problemsOf('c.yaml', 'a: [{ b: "${MISSING} ${ALSO}" }]\nc: "${not a name}"\nd: "${constructor}"')).toEqual([
    'a[0].b: expected the variable MISSING to be set',
    'a[0].b: expected the variable ALSO to be set',
    'c: expected ${NAME} or ${NAME:-default}; write $${ for the characters themselves',
    'd: expected the variable constructor to be set',
  ])
})

test('{ fromFile } reads beside the config file and leaves out one newline at the end', () => {
  const text = 'a: { fromFile: secrets/a }\nb: { fromFile: "/run/${NAME}" }'
  const files = { '/etc/llmgw/secrets/a': 'first\n\n', '/run/b': 'second\r\n' }
  const { content, problems } = read('/etc/llmgw/c.yaml', text, { NAME: 'b' }, files)
  expect(problems).toEqual([])
  const { a, b } = content as { a: Secret; b: Secret }
  expect([a, b].map((secret) => secret instanceof Secret && secret.reveal())).toEqual(['first\n', 'second'])
})

test('a file that is not there is a problem', () => {
  expect(problemsOf('/c.yaml', 'a: { fromFile: nowhere }\nb: { fromFile: [x] }')).toEqual([
    'a.fromFile: expected a file that can be read (ENOENT)',
    'b.fromFile: expected the path of a file',
  ])
})

test.each([
  ['c.yaml', 'a: 1\nb: [1, 2\nc: 3', 'c.yaml:3:1'],
  ['c.yaml', 'a: 1\na: 2', 'c.yaml:2:1'],
  ['c.yml', '\tx: 1', 'c.yml:1:1'],
  ['c.yaml', 'a: !sk-secret x', 'c.yaml:1:4'],
  ['c.yaml', 'a: |sk-secret\n x', 'c.yaml:1:5'],
  ['c.yaml', 'a: *sk-secret', 'c.yaml'],
  ['c.yaml', 'a: "sk-secret\\q"', 'c.yaml:1:14'],
  ['c.yaml', 'a: 1\n---\nb: sk-secret', 'c.yaml:2:1'],
  ['c.toml', 'a = 1\nb = sk-secret', 'c.toml:2:5'],
  ['c.toml', 'a = "sk-secret', 'c.toml:1:5'],
  ['c.toml', 'a = 1\na = "sk-secret"', 'c.toml:2:1'],
])('%s with %j is refused at %s, without a word of it', (path, text, place) => {
  const { content, problems } = read(path, text)
  expect(content).toBeUndefined()
  expect(problems.map((problem) => problem.path)).toContain(place)
  for (const { message } of problems) {
    expect(message).not.toContain('sk-secret')
    expect(message.length).toBeGreaterThan(5)
    expect(message).not.toContain('\n')
  }
})

test('an empty file is an empty configuration', () => {
  expect(read('c.yaml', '# nothing yet\n').content).toEqual({})
  expect(read('c.toml', '').content).toEqual({})
})

test('a value that contains itself ends', () => {
  const { problems } = read('c.yaml', 'a: &a [*a]')
  expect(problems).toEqual([{ path: 'a[0][0][0]', message: 'expected at most 32 levels' }])
})

test('a value that multiplies itself is refused', () => {
  const lines = [
    'a0: &a0 [x]',
    ...Array.from({ length: 9 }, (_, n) => `a${n + 1}: &a${n + 1} [*a${n}, *a${n}, *a${n}, *a${n}]`),
  ]
  expect(problemsOf('c.yaml', lines.join('\n'))).toEqual([
    'c.yaml: expected aliases (*name) that name an anchor (&name) above, at most 100 of them',
  ])
})
