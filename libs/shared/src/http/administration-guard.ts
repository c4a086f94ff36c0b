/**
 * The administration token: compared in constant time, wrong ones counted per address. One guard serves all that asks for
 * the token in a process, so that no way in is a way around the count of another.
 */

import { sameSecret } from '../certificates/crypto.ts'
import { GUARD_WINDOW_MS } from '../deadlines.ts'
import { limits } from '../limits.ts'
import { Rate } from './rate.ts'

export type Verdict = 'allowed' | 'refused' | 'too_many'

export class AdministrationGuard {
  readonly #token: string
  readonly #refusals = new Rate(limits.refused_administration.value, GUARD_WINDOW_MS)
  constructor(token: string) {
    this.#token = token
  }

  /** The right token is never limited: others behind the same address must not be able to lock out an administrator. */
  check(token: string | undefined, address: string, nowMs: number): Verdict {
    if (token !== undefined && sameSecret(token, this.#token)) return 'allowed'
    return this.#refusals.take(address, nowMs) ? 'refused' : 'too_many'
  }
}
