/**
 * The administration tokens: compared in constant time, wrong ones counted per address. One guard serves all that asks for
 * a token in a process, so that no way in is a way around the count of another.
 */
import { timingSafeEqual } from 'node:crypto'
import { GUARD_WINDOW_MS } from '../deadlines.ts'
import { limits } from '../limits.ts'
import type { Log } from '../log.ts'
import { type AdministrationToken, type Scope, sha256 } from './administration-tokens.ts'
import { networkOf } from './client-address.ts'
import { RateLimit } from './rate-limit.ts'

/** Who shows a right token, and what it may do. */
export type Bearer = { readonly name: string; readonly scopes: readonly Scope[] }
export type Verdict = Bearer | 'refused' | 'too_many'

const WARNINGS = {
  refused: 'Wrong administration token',
  too_many: 'Too many wrong administration tokens',
} as const

export class AdministrationGuard {
  #tokens: readonly AdministrationToken[]
  readonly #refusals = new RateLimit(limits.refused_administration.value, GUARD_WINDOW_MS)
  readonly #log: Log
  constructor(tokens: readonly AdministrationToken[], log: Log) {
    this.#tokens = tokens
    this.#log = log
  }
  /** From now on these are the right ones. */
  replace(tokens: readonly AdministrationToken[]): void {
    this.#tokens = tokens
  }

  /** A right token is never limited: others behind the same address must not be able to lock out an administrator. */
  check(token: string | undefined, address: string, nowMs: number): Verdict {
    const hash = sha256(token ?? '')
    // All are compared, so that the time says nothing about which.
    const [right] = this.#tokens.filter(known => timingSafeEqual(known.sha256, hash))
    if (token !== undefined && right) return right
    const verdict = this.#refusals.take(networkOf(address), nowMs) ? 'refused' : 'too_many'
    // Whoever shows none has only lost his way.
    if (token !== undefined) this.#log.warning(WARNINGS[verdict], { address })
    return verdict
  }
}
