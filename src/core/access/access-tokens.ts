import { createPrivateKey, createPublicKey, hkdfSync, type KeyObject } from 'node:crypto'
import { calculateJwkThumbprint, decodeProtectedHeader, exportJWK, type JWK, jwtVerify, SignJWT } from 'jose'
import type { Clock } from '../clock.ts'

/** Short-lived proof of a sign-in: a JWT signed with Ed25519, which says who and never what they may do. */
export interface AccessTokens {
  issue(subject: TokenSubject): Promise<{ token: string; expiresAtMs: number }>
  /** @returns undefined for anything that is not a token of ours, in force and of this kind */
  verify(token: string): Promise<VerifiedToken | undefined>
  /** The public keys that verify tokens in force, for others to check them with. */
  publicKeys(): Promise<{ keys: JWK[] }>
}

export interface TokenSubject {
  kind: 'admin_user' | 'admin_token'
  id: string
  sessionId: string
  /** Of this token. */
  tokenId: string
}

export interface VerifiedToken extends Omit<TokenSubject, 'tokenId'> {
  expiresAtMs: number
}

export const accessTokenLifeMs = 10 * 60_000
const skewMs = 30_000
const rotationMs = 90 * 24 * 3_600_000
const tokenLengthMax = 4_096
const algorithm = 'EdDSA'
const type = 'at+jwt'
const issuer = 'llmgw'
const audience = 'llmgw-admin'

interface SigningKey {
  kid: string
  privateKey: KeyObject
  publicKey: KeyObject
  jwk: JWK
}

/**
 * Signing keys follow from the master key and the number of the quarter-year: all replicas have the same without storing
 * or exchanging any, and they change by themselves. For a while after a change the one before verifies as well.
 *
 * @param masters - the current one first; the others verify only
 */
export function createAccessTokens(masters: readonly Buffer[], clock: Clock): AccessTokens {
  const known = new Map<string, Promise<SigningKey>>()
  const keyOf = (master: number, epoch: number): Promise<SigningKey> => {
    const name = `${master}.${epoch}`
    let key = known.get(name)
    if (!key) {
      key = derive(masters[master] as Buffer, epoch)
      known.set(name, key)
    }
    return key
  }
  const epochAt = (ms: number): number => Math.floor(ms / rotationMs)
  const current = (): Promise<SigningKey> => keyOf(0, epochAt(clock.nowMs()))
  const verifying = (): Promise<SigningKey[]> => {
    const nowMs = clock.nowMs()
    // Clocks of replicas differ by less than the skew.
    const epochs = new Set([nowMs - accessTokenLifeMs - skewMs, nowMs, nowMs + skewMs].map(epochAt))
    return Promise.all(masters.flatMap((_, master) => [...epochs].map((epoch) => keyOf(master, epoch))))
  }
  return {
    async issue({ kind, id, sessionId, tokenId }) {
      const { kid, privateKey } = await current()
      const nowMs = clock.nowMs()
      const expiresAtS = Math.floor((nowMs + accessTokenLifeMs) / 1_000)
      const token = await new SignJWT({ sid: sessionId, sub_kind: kind })
        .setProtectedHeader({ alg: algorithm, typ: type, kid })
        .setIssuer(issuer)
        .setAudience(audience)
        .setSubject(id)
        .setJti(tokenId)
        .setIssuedAt(Math.floor(nowMs / 1_000))
        .setExpirationTime(expiresAtS)
        .sign(privateKey)
      return { token, expiresAtMs: expiresAtS * 1_000 }
    },
    async verify(token) {
      if (token.length > tokenLengthMax) return undefined
      try {
        const { kid, ...header } = decodeProtectedHeader(token)
        // Keys come from our own set, whatever a header offers.
        if (Object.keys(header).some((name) => name !== 'alg' && name !== 'typ')) return undefined
        const key = (await verifying()).find((one) => one.kid === kid)
        if (!key) return undefined
        const { payload } = await jwtVerify(token, key.publicKey, {
          algorithms: [algorithm],
          typ: type,
          issuer,
          audience,
          clockTolerance: skewMs / 1_000,
          requiredClaims: ['sub', 'sid', 'jti', 'iat', 'exp'],
          currentDate: new Date(clock.nowMs()),
        })
        const { sub, sid, sub_kind: kind, exp } = payload
        if (typeof sub !== 'string' || typeof sid !== 'string' || typeof exp !== 'number') return undefined
        if (kind !== 'admin_user' && kind !== 'admin_token') return undefined
        return { kind, id: sub, sessionId: sid, expiresAtMs: exp * 1_000 }
      } catch {
        return undefined // whatever is wrong with it, it proves nothing
      }
    },
    async publicKeys() {
      return { keys: (await verifying()).map(({ jwk }) => jwk) }
    },
  }
}

/** RFC 8410: what comes before the 32 bytes of a private key in PKCS #8. */
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex')

async function derive(master: Buffer, epoch: number): Promise<SigningKey> {
  const seed = Buffer.from(hkdfSync('sha256', master, '', `llmgw admin access tokens v1 ${epoch}`, 32))
  const privateKey = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: 'der', type: 'pkcs8' })
  const publicKey = createPublicKey(privateKey)
  const jwk = await exportJWK(publicKey)
  const kid = await calculateJwkThumbprint(jwk)
  return { kid, privateKey, publicKey, jwk: { ...jwk, kid, alg: algorithm, use: 'sig' } }
}
