const form = document.querySelector('form')
const status = document.querySelector('[role=status]')
const token = new URLSearchParams(location.hash.slice(1)).get('token') ?? ''

const mutation = `mutation ($input: FirstAdministratorCreateInput!) {
  firstAdministratorCreate(input: $input) {
    created
    errors { ... on UserError { message } }
  }
}`

form.addEventListener('submit', async (event) => {
  event.preventDefault()
  const { email, displayName, password } = Object.fromEntries(new FormData(form))
  const button = form.querySelector('button')
  button.disabled = true
  status.textContent = 'One moment.'
  try {
    const response = await fetch('/graphql', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: mutation, variables: { input: { token, email, displayName, password } } }),
    })
    const { data, errors } = await response.json()
    const problem = errors?.[0]?.message ?? data.firstAdministratorCreate.errors[0]?.message
    status.textContent = problem ?? 'Done.'
    if (problem === undefined) {
      form.hidden = true
      document.querySelector('[data-next]').hidden = false
    }
  } catch {
    status.textContent = 'The gateway does not answer. Try again.'
  }
  button.disabled = false
})
