import { type FormEvent, useEffect, useState } from 'react'
import { type Session, singleSignOn } from './session.ts'

export function SignInForm({ session, onSignedIn }: { session: Session; onSignedIn(): void }) {
  const [problem, setProblem] = useState<string>()
  const [isBusy, setBusy] = useState(false)
  const [elsewhere, setElsewhere] = useState<{ name: string; url: string } | null>(null)
  useEffect(() => {
    void singleSignOn().then(setElsewhere)
  }, [])

  const submit = async (event: FormEvent<HTMLFormElement>): Promise<void> => {
    event.preventDefault()
    const fields = new FormData(event.currentTarget)
    setBusy(true)
    const wrong = await session.signIn(String(fields.get('email')), String(fields.get('password')))
    setBusy(false)
    setProblem(wrong)
    if (wrong === undefined) onSignedIn()
  }

  return (
    <main className="sign-in">
      <h1>Playground</h1>
      <form onSubmit={(event) => void submit(event)}>
        <label>
          Email address <input name="email" type="email" autoComplete="username" required />
        </label>
        <label>
          Password <input name="password" type="password" autoComplete="current-password" required />
        </label>
        <button type="submit" disabled={isBusy}>
          Sign in
        </button>
      </form>
      {elsewhere && <a href={`${elsewhere.url}?returnTo=/playground/`}>Sign in with {elsewhere.name}</a>}
      <p role="status">{problem}</p>
    </main>
  )
}
