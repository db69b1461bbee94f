import { expect, test } from 'vitest'
import { credentialOrigin } from './credential-origin.ts'

const openai = { type: 'openai', baseUrl: 'https://api.openai.com/v1', settings: {} } as const

test('a path is no part of it; scheme, host and port are', () => {
  const origin = credentialOrigin(openai)
  expect(origin).toBe('https://api.openai.com')
  for (const baseUrl of ['https://api.openai.com:443/v2', 'https://API.openai.com']) {
    expect(credentialOrigin({ ...openai, baseUrl })).toBe(origin)
  }
  for (const baseUrl of ['http://api.openai.com/v1', 'https://api.openai.com:8443/v1', 'https://api.openai.com.evil']) {
    expect(credentialOrigin({ ...openai, baseUrl })).not.toBe(origin)
  }
})

test('where the type makes the URL, what it makes it of counts', () => {
  const bedrock = { type: 'bedrock', baseUrl: null, settings: { region: 'us-east-1' } } as const
  expect(credentialOrigin(bedrock)).toBe('bedrock region=us-east-1')
  expect(credentialOrigin({ ...bedrock, settings: { region: 'eu-west-1' } })).toBe('bedrock region=eu-west-1')
})

test('every other URL that the credential may be sent to counts, too', () => {
  const settings = { tokenUrl: 'https://tokens.example/x', project: 'p', other: 'https://api.openai.com/y' }
  expect(credentialOrigin({ ...openai, settings })).toBe('https://api.openai.com https://tokens.example')
})
