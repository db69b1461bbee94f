/** Signed in, for as long as this page is open: the access token in memory, and what renews it in a cookie out of reach. */
export class Session {
  #token: string | undefined
  #expiresAtMs = 0
  #renewing: Promise<string | undefined> | undefined

  /** @returns undefined when it has ended: sign in again */
  async token(): Promise<string | undefined> {
    if (this.#token && Date.now() < this.#expiresAtMs - renewBeforeMs) return this.#token
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined
    })
    return this.#renewing
  }

  /** @returns what is wrong, as a sentence; undefined when nothing is */
  async signIn(email: string, password: string): Promise<string | undefined> {
    const answer = await ask(signIn, { input: { email, password } })
    return this.#take(answer.data?.sessionSignIn) ?? answer.errors?.[0]?.message
  }

  async signOut(): Promise<void> {
    const token = await this.token()
    if (token) await ask('mutation { sessionSignOut { ended } }', {}, token)
    this.#token = undefined
  }

  async #renew(): Promise<string | undefined> {
    this.#token = undefined
    const answer = await ask(refresh)
    this.#take(answer.data?.sessionRefresh)
    return this.#token
  }

  #take(payload: SignInPayload | undefined): string | undefined {
    this.#token = payload?.accessToken ?? undefined
    this.#expiresAtMs = payload?.expiresAt ? Date.parse(payload.expiresAt) : 0
    return payload?.errors[0]?.message
  }
}

/** Where else one may sign in; null when nowhere. */
export async function singleSignOn(): Promise<{ name: string; url: string } | null> {
  const answer = await ask('{ signInOptions { singleSignOn { name url } } }')
  return answer.data?.signInOptions?.singleSignOn ?? null
}

const renewBeforeMs = 60_000

const payload = '{ accessToken expiresAt errors { ... on UserError { message } } }'
const signIn = `mutation ($input: SessionSignInInput!) { sessionSignIn(input: $input) ${payload} }`
const refresh = `mutation { sessionRefresh ${payload} }`

interface SignInPayload {
  accessToken: string | null
  expiresAt: string | null
  errors: { message: string }[]
}

interface Answer {
  data?: {
    sessionSignIn?: SignInPayload
    sessionRefresh?: SignInPayload
    signInOptions?: { singleSignOn: { name: string; url: string } | null }
  } | null
  errors?: { message: string }[]
}

async function ask(query: string, variables = {}, token?: string): Promise<Answer> {
  try {
    const response = await fetch('/graphql', {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'x-llmgw-csrf': '1',
        ...(token && { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify({ query, variables }),
    })
    return await response.json()
  } catch {
    return { errors: [{ message: 'The gateway does not answer. Try again.' }] }
  }
}
