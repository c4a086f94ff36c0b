/**
 * What a process that starts waits for. In a cluster the database and the brokers come and go by themselves: who starts
 * without them waits, not ready, and says why: `/readyz` always, the log at once and then now and then.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { START_PAUSE_MS, START_REPEAT_MS } from './deadlines.ts'
import { reasonOf } from './errors.ts'
import type { Log } from './log.ts'

export class Patience {
  readonly #log: Log
  readonly #signal: AbortSignal | undefined
  readonly #repeatMs: number
  #missing: { what: string; reason: string; toldAt: number } | undefined

  /** `signal`: nobody waits any more. */
  constructor(log: Log, { signal, repeatMs = START_REPEAT_MS }: { signal?: AbortSignal; repeatMs?: number } = {}) {
    this.#log = log
    this.#signal = signal
    this.#repeatMs = repeatMs
  }

  /** For `/readyz`. */
  get detail(): { readonly [what: string]: string } {
    return this.#missing ? { [this.#missing.what]: this.#missing.reason } : {}
  }

  /** Resolves when `attempt` does. Rejects with a failure that waiting does not mend, or when nobody waits any more. */
  async until<T>(
    what: string,
    attempt: () => Promise<T>,
    isFinal: (error: unknown) => boolean,
    pauseMs = START_PAUSE_MS,
  ): Promise<T> {
    for (;;) {
      this.#signal?.throwIfAborted()
      try {
        const found = await attempt()
        this.#found()
        return found
      } catch (error) {
        if (isFinal(error)) throw error
        this.#lacks(what, reasonOf(error))
      }
      await pause(pauseMs, undefined, { ...(this.#signal && { signal: this.#signal }) })
    }
  }

  #lacks(what: string, reason: string): void {
    const now = performance.now()
    const last = this.#missing?.what === what ? this.#missing.toldAt : -Infinity
    const isDue = now - last >= this.#repeatMs
    this.#missing = { what, reason, toldAt: isDue ? now : last }
    if (isDue) this.#log.warning('Not started yet, waiting', { missing: what, reason })
  }
  #found(): void {
    if (this.#missing) this.#log.info('What the start waited for is there', { missing: this.#missing.what })
    this.#missing = undefined
  }
}
