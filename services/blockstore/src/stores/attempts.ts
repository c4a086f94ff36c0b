/** Repeats what failed for a passing reason, within the deadline of the operation. */
import { STORE_RETRY_PAUSE_MS } from '@parsec/shared/deadlines'
import { pause, withDeadline } from './deadline.ts'
import { StoreError } from './store.ts'

export const MAX_ATTEMPTS = 5

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
 * When `signal` aborts, there is no further attempt. A read that has begun ends at once where nobody waits for it any
 * more; a write goes on, since a server does not forget a request because the client goes away: it may still store what
 * it received, and whoever waits for the end of attempts does not overtake it. A read that only became needless, since
 * another node was faster, goes on as well: or a fast node would ask more of a slow one than that can do.
 */
export async function withRetries<T>(
  signal: AbortSignal,
  attemptMs: number,
  attempt: (signal: AbortSignal) => Promise<T>,
  { isRead = false }: { isRead?: boolean } = {},
): Promise<T> {
  const heeds = (reason: unknown) => !(reason instanceof StoreError && reason.cancelled)
  for (let attempts = 1; ; attempts++) {
    try {
      return await withDeadline(isRead ? signal : null, attemptMs, attempt, heeds)
    } catch (error) {
      const worthwhile = error instanceof AttemptError ? error.transient : error instanceof StoreError
      if (signal.aborted || attempts === MAX_ATTEMPTS || !worthwhile) throw error
      const longest = STORE_RETRY_PAUSE_MS * 2 ** (attempts - 1)
      await pause(longest * (1 - Math.random() / 2), signal)
    }
  }
}
