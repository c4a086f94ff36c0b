/**
 * What happens again and again is told once a minute, with how often it happened: in an outage each command fails, and
 * thousands of lines a second would cost what the recovery needs, and hide the others.
 */
import { DateTime } from './codec/values.ts'
import { REPEATED_LINES_MS } from './deadlines.ts'
import { limits } from './limits.ts'

/** What a line that was held back says besides. */
export type Repetition = { readonly others_since: number; readonly last_at: string }
type Write = (repetition?: Repetition) => void
type Told = { timer: NodeJS.Timeout; others: number; last: { write: Write; at: DateTime } | undefined }

export class Repetitions {
  readonly #told = new Map<string, Told>()

  /**
   * Writes the first of a kind at once. The last of those that follow within `REPEATED_LINES_MS` is written when that
   * has passed, with how many others there were since. `coarse` is the kind of what comes when there are
   * `limits.log_kinds` already; it is one of a few texts of ours.
   */
  tell(kind: string, coarse: string, write: Write): void {
    const key = this.#told.has(kind) || this.#told.size < limits.log_kinds.value ? kind : coarse
    const told = this.#told.get(key)
    if (told) {
      if (told.last) told.others++
      told.last = { write, at: DateTime.now() }
      return
    }
    write()
    this.#told.set(key, { timer: this.#arm(key), others: 0, last: undefined })
  }

  /** Writes what is held back. */
  flush(): void {
    for (const told of this.#told.values()) {
      clearTimeout(told.timer)
      tellLast(told)
    }
    this.#told.clear()
  }

  #arm(key: string): NodeJS.Timeout {
    return setTimeout(() => this.#onPassed(key), REPEATED_LINES_MS).unref()
  }
  #onPassed(key: string): void {
    const told = this.#told.get(key)!
    if (tellLast(told)) this.#told.set(key, { timer: this.#arm(key), others: 0, last: undefined })
    else this.#told.delete(key)
  }
}

/** Whether there was one. */
function tellLast({ last, others }: Told): boolean {
  last?.write({ others_since: others, last_at: String(last.at) })
  return last !== undefined
}
