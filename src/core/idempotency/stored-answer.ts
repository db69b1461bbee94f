/** An answer as a door wrote it; only a door of the same kind can write it again. */
export interface WrittenAnswer {
  /** HTTP's, also where the door speaks something else. */
  status: number
  contentType: string
  body: Buffer
}

/** What was kept of the first request with an idempotency key. */
export interface StoredAnswer extends WrittenAnswer {
  /** Of that first request. */
  requestId: string
}
