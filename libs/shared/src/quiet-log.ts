/** Log lines about what strangers can cause as often as they like: one of a kind per minute, with how often it happened. */
import { SELDOM_MS } from './deadlines.ts'
import type { Log, LogKeys } from './log.ts'

export class QuietLog {
  readonly #log: Log
  readonly #told = new Map<string, { at: number; silent: number }>()
  constructor(log: Log) {
    this.#log = log
  }
  /** `kind` is one of a few texts of ours. */
  warn(kind: string, event: string, keys: LogKeys): void {
    const now = performance.now()
    const told = this.#told.get(kind)
    if (told && now - told.at < SELDOM_MS) {
      told.silent++
      return
    }
    this.#log.warning(event, told && told.silent > 0 ? { ...keys, others_since: told.silent } : keys)
    this.#told.set(kind, { at: now, silent: 0 })
  }
}
