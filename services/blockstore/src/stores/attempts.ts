/** Repeats what failed for a passing reason, within the deadline of the operation. */
import { pause, withDeadline } from './deadline.ts'
import { StoreError } from './store.ts'

export const MAX_ATTEMPTS = 5
/** Milliseconds for one attempt: a silent server must leave time for another. */
export const ATTEMPT_MS = 8_000
/** The first pause between attempts; each is twice as long as the one before, and up to half of it is left to chance. */
const FIRST_PAUSE_MS = 200

/** How codes of answers that are not HTTP start. */
const BROKEN_HTTP = 'HPE_'
/** Error codes of connections that may work the next time. */
const TRANSIENT_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ESOCKETTIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EAI_AGAIN',
  'ENOTFOUND',
  'ERR_STREAM_PREMATURE_CLOSE',
])

export const isTransientStatus = (status: number): boolean => status === 408 || status === 429 || status >= 500
export const isTransientCode = (code: unknown): boolean =>
  typeof code === 'string' && (TRANSIENT_CODES.has(code) || code.startsWith(BROKEN_HTTP))

/** An attempt failed; `transient` when another one may succeed. */
export class AttemptError extends Error {
  override readonly name = 'AttemptError'
  readonly transient: boolean
  readonly status: number | null
  constructor(
    message: string,
    { transient, status = null, cause }: { transient: boolean; status?: number | null; cause?: unknown },
  ) {
    super(message, cause === undefined ? {} : { cause })
    this.transient = transient
    this.status = status
  }
}

/**
 * Runs `attempt` up to `MAX_ATTEMPTS` times, each with a signal of its own that ends after `attemptMs`. Rejects with
 * the last error; at once with the first that another attempt would meet again.
 *
 * When `signal` aborts, there is no further attempt, but the one that has begun goes on. A server does not forget a
 * request because the client goes away: it may still store what it received, and works on; whoever waits for the end of
 * attempts neither overtakes a write nor asks for more than the server can do.
 */
export async function withRetries<T>(
  signal: AbortSignal,
  attemptMs: number,
  attempt: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  for (let attempts = 1; ; attempts++) {
    try {
      return await withDeadline(null, attemptMs, attempt)
    } catch (error) {
      const worthwhile = error instanceof AttemptError ? error.transient : error instanceof StoreError
      if (signal.aborted || attempts === MAX_ATTEMPTS || !worthwhile) throw error
      const longest = FIRST_PAUSE_MS * 2 ** (attempts - 1)
      await pause(longest * (1 - Math.random() / 2), signal)
    }
  }
}
