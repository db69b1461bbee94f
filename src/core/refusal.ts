/** Something that whoever asked can put right. */
export interface Refusal {
  code: 'invalid' | 'not_found' | 'conflict' | 'managed_by_file'
  message: string
  /** The field at fault; empty when it is the whole. */
  path: readonly string[]
}

export interface Refused {
  ok: false
  refusals: Refusal[]
}

export const refused = (code: Refusal['code'], message: string, ...path: string[]): Refused => ({
  ok: false,
  refusals: [{ code, message, path }],
})
