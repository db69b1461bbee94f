/** When a call that failed is made again, by the channel itself. */
export interface RetryOptions {
  /** The first one included, 2 to 5. */
  maxAttempts: number
  /** Before the second attempt, in seconds; the gateway may ask for another time. */
  initialBackoffS: number
  maxBackoffS: number
}

export const retryDefaults: RetryOptions = { maxAttempts: 4, initialBackoffS: 0.2, maxBackoffS: 5 }

/** Nothing came of these calls, as far as their caller can tell; everything else would fail again, or may not be repeated. */
const retryableStatusCodes = ['UNAVAILABLE']

/** As grpc-js takes it. @see https://github.com/grpc/grpc/blob/master/doc/service_config.md */
export function serviceConfigOf({ maxAttempts, initialBackoffS, maxBackoffS }: RetryOptions): string {
  const services = ['ChatService', 'EmbeddingService', 'ModelService']
  return JSON.stringify({
    methodConfig: [
      {
        name: services.map((name) => ({ service: `thinkpixel.llmgw.v1.${name}` })),
        retryPolicy: {
          maxAttempts,
          initialBackoff: `${initialBackoffS}s`,
          maxBackoff: `${maxBackoffS}s`,
          backoffMultiplier: 2,
          retryableStatusCodes,
        },
      },
    ],
  })
}
