/** Which patterns somebody listens to or serves, each counted, and whether a subject falls under one. */
import { matches } from './subjects.ts'

/** Most subjects whose answer is remembered. */
const REMEMBERED = 10_000

export class Patterns {
  readonly #counts = new Map<string, number>()
  readonly #known = new Map<string, boolean>()

  /** True when it is the first of its kind. */
  add(pattern: string): boolean {
    const count = this.#counts.get(pattern) ?? 0
    this.#counts.set(pattern, count + 1)
    this.#known.clear()
    return count === 0
  }
  /** True when it was the last of its kind. */
  remove(pattern: string): boolean {
    const count = this.#counts.get(pattern) ?? 0
    this.#known.clear()
    if (count > 1) this.#counts.set(pattern, count - 1)
    else this.#counts.delete(pattern)
    return count === 1
  }
  has(subject: string): boolean {
    let found = this.#known.get(subject)
    if (found === undefined) {
      found = [...this.#counts.keys()].some(pattern => matches(pattern, subject))
      if (this.#known.size >= REMEMBERED) this.#known.clear()
      this.#known.set(subject, found)
    }
    return found
  }
  [Symbol.iterator](): Iterator<string> {
    return this.#counts.keys()
  }
}
