/** What a check found: one line, and what to do about it. */
import { CHECK_MS } from '@parsec/shared/deadlines'
import { reasonOf } from '@parsec/shared/errors'

export type Verdict = 'ok' | 'warning' | 'failed'
export type Finding = {
  readonly verdict: Verdict
  /** What was looked at. */
  readonly about: string
  readonly found: string
  readonly remedy?: string
}

/** Collects the findings about one thing. */
export class Findings {
  readonly list: Finding[] = []
  readonly #about: string
  constructor(about: string) {
    this.#about = about
  }
  ok(found: string): void {
    this.list.push({ verdict: 'ok', about: this.#about, found })
  }
  warn(found: string, remedy: string): void {
    this.list.push({ verdict: 'warning', about: this.#about, found, remedy })
  }
  fail(found: string, remedy: string): void {
    this.list.push({ verdict: 'failed', about: this.#about, found, remedy })
  }
  /** Runs a look that ends; what it rejects with is a finding. True when it was done. */
  async look(remedy: string, work: (signal: AbortSignal) => Promise<void>): Promise<boolean> {
    const signal = AbortSignal.timeout(CHECK_MS)
    const late = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(new Error(`no answer within ${CHECK_MS / 1000} s`)), { once: true })
    })
    try {
      await Promise.race([work(signal), late])
      return true
    } catch (error) {
      // `fetch` hides what happened.
      this.fail(reasonOf(error instanceof TypeError && error.cause ? error.cause : error), remedy)
      return false
    }
  }
}
