/** The three failures that code may throw on purpose; business outcomes are returned replies, everything else is a bug. */

/** The bus, a service, the database or an object store is away, or did not answer in time. Clients see a lost connection. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable'
}

/** Another service failed on a bug of its own while it worked on our request; its log tells more. */
export class RemoteFailure extends Error {
  override readonly name = 'RemoteFailure'
}

/** What the operator gave does not work; the text names option, value and remedy. Ends the command line with exit code 1. */
export class OperatorError extends Error {
  override readonly name = 'OperatorError'
}

/** What a failure says of itself, for people. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(reasonOf).join('; ')
  return error instanceof Error ? error.message || (error as { code?: string }).code || error.name : String(error)
}
