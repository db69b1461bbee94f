export type StartRefusalReason =
  | 'platform_unsupported'
  | 'data_folder_unusable'
  | 'data_folder_in_use'
  | 'database_start_failed'
  | 'secret_invalid'
  | 'secret_mismatch'
  | 'master_key_retired'
  | 'key_encryption_key_missing'
  | 'schema_newer'
  | 'schema_behind'
  | 'replica_refused'
  | 'configuration_rejected'
  | 'port_unusable'

/**
 * Why this process will not start or become ready, in words for an operator: what is wrong and what to do, no secrets.
 * Unlike a GatewayError it never reaches a client; `exitCode` is for the process (sysexits: 78 is "fix the
 * configuration", 75 is "try again later").
 */
export class StartRefusal extends Error {
  readonly reason: StartRefusalReason
  readonly exitCode: number

  constructor(reason: StartRefusalReason, message: string, options: { exitCode?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'StartRefusal'
    this.reason = reason
    this.exitCode = options.exitCode ?? 78
  }
}
