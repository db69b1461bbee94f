const lengthMin = 12
const lengthMax = 128

/** @returns why not, as a sentence */
export function passwordProblem(password: string): string | undefined {
  const { length } = [...password]
  if (length < lengthMin) return `A password has at least ${lengthMin} characters.`
  return length > lengthMax ? `A password has at most ${lengthMax} characters.` : undefined
}
