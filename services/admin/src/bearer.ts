/** The bearer token of the administration API: checked before everything else (spec 02 §7.1). */
import { sameSecret } from '@parsec/shared/certificates/crypto'

/** Refused calls that one address may make per window; further ones are answered 429 and leave no line in the log. */
export const MAX_REFUSED_CALLS = 200
export const REFUSED_WINDOW_MS = 10_000
/** Most addresses counted at once; past it counting starts anew. */
export const MAX_COUNTED_ADDRESSES = 10_000

export type Verdict = 'allowed' | 'refused' | 'too_many'

/** Compares tokens in constant time and counts refusals per address. Calls with the right token are never limited. */
export class Bearer {
  readonly #expected: string
  readonly #refusals = new Map<string, number>()
  #windowStart = 0

  constructor(administrationToken: string) {
    this.#expected = `Bearer ${administrationToken}`
  }

  /** `header` is the whole `Authorization` header, `nowMs` a monotonic clock. */
  check(header: string | undefined, address: string, nowMs: number): Verdict {
    if (sameSecret(header ?? '', this.#expected)) return 'allowed'
    if (nowMs - this.#windowStart >= REFUSED_WINDOW_MS || this.#refusals.size >= MAX_COUNTED_ADDRESSES) {
      this.#windowStart = nowMs
      this.#refusals.clear()
    }
    const refusals = (this.#refusals.get(address) ?? 0) + 1
    this.#refusals.set(address, refusals)
    return refusals > MAX_REFUSED_CALLS ? 'too_many' : 'refused'
  }
}
