/** How all drivers wait for the answer to a request. */
import { Unavailable } from '../errors.ts'

/** Either settles the wait; afterwards both do nothing. */
export type Answer = { resolve(reply: Buffer): void; reject(error: unknown): void }

/**
 * Asks, and waits until the answer is there, `timeoutMs` have passed (`Unavailable`) or `signal` aborts (its reason).
 * `over` is called whenever the wait ends, `givenUp` when it ends without an answer, after its rejection.
 */
export function answerTo(
  subject: string,
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal | undefined },
  ask: (answer: Answer) => void,
  { over, givenUp }: { over(): void; givenUp(): void },
): Promise<Buffer> {
  if (signal?.aborted) return Promise.reject(signal.reason)
  return new Promise((resolve, reject) => {
    const settle = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      over()
    }
    const giveUp = (reason: unknown) => {
      settle()
      reject(reason)
      givenUp()
    }
    const onAbort = () => giveUp(signal!.reason)
    const timer = setTimeout(() => giveUp(new Unavailable(`no answer on ${subject} within ${timeoutMs} ms`)), timeoutMs)
    signal?.addEventListener('abort', onAbort, { once: true })
    ask({
      resolve: reply => {
        settle()
        resolve(reply)
      },
      reject: error => {
        settle()
        reject(error)
      },
    })
  })
}
