/**
 * Tells the events of each series in the order of their indices: the changes of a realm, the messages of a user. Replicas
 * of the metadata service commit in that order but may publish in another; what overtook waits here for what is on its
 * way.
 */
import { EVENT_GAP_MS, FIRST_EVENT_MS } from '@parsec/shared/deadlines'
import { limits } from '@parsec/shared/limits'

/** Most events of a series that wait. With one more, what is missing counts as lost: a client could not take them at once. */
export const MAX_WAITING = limits.queued_events.value

/** There may be as many as realms: `waiting` is there only while one waits. */
type Series<T> = { next: number | undefined; waiting: Map<number, T> | undefined; timer: NodeJS.Timeout | undefined }

export class EventOrder<T> {
  readonly #tell: (event: T) => void
  readonly #miss: (next: T) => void
  readonly #series = new Map<string, Series<T>>()
  /** `miss`: what comes before this one is not waited for any longer; whoever would be told of it has lost something. */
  constructor(tell: (event: T) => void, miss: (next: T) => void) {
    this.#tell = tell
    this.#miss = miss
  }

  /** Told at once when it is next or late, else when those before it are told or the wait is over. */
  add(name: string, index: number, event: T): void {
    let series = this.#series.get(name)
    if (!series) {
      series = { next: undefined, waiting: undefined, timer: undefined }
      this.#series.set(name, series)
    }
    if (index === 1) series.next ??= 1
    if (series.next !== undefined && index < series.next) return this.#tell(event)
    series.waiting ??= new Map()
    series.waiting.set(index, event)
    this.#tellNext(series)
    if (series.waiting && series.waiting.size > MAX_WAITING) this.#giveUp(series)
  }

  /** `index` was the newest of a series at a time when its events were already heard here: the next one comes after it. */
  startAfter(name: string, index: number): void {
    const series = this.#series.get(name)
    if (!series) this.#series.set(name, { next: index + 1, waiting: undefined, timer: undefined })
    else if (series.next === undefined) {
      series.next = index + 1
      this.#tellNext(series)
    }
  }

  /** Forgets everything, for when nobody listens any more. */
  clear(): void {
    for (const series of this.#series.values()) clearTimeout(series.timer)
    this.#series.clear()
  }

  #tellNext(series: Series<T>): void {
    const { waiting } = series
    if (!waiting) return
    while (series.next !== undefined) {
      const event = waiting.get(series.next)
      if (event === undefined) break
      waiting.delete(series.next++)
      this.#tell(event)
    }
    // What came before its start was known, and lies before it.
    for (const [index, event] of waiting) {
      if (series.next === undefined || index >= series.next) continue
      waiting.delete(index)
      this.#tell(event)
    }
    if (waiting.size === 0) {
      clearTimeout(series.timer)
      series.timer = undefined
      series.waiting = undefined
    } else
      series.timer ??= setTimeout(
        () => this.#giveUp(series),
        series.next === undefined ? FIRST_EVENT_MS : EVENT_GAP_MS,
      ).unref()
  }
  /** Waits no longer for the one that is missing: it is lost, unless it came before all that was ever known here. */
  #giveUp(series: Series<T>): void {
    clearTimeout(series.timer)
    series.timer = undefined
    const waiting = series.waiting ?? new Map<number, T>()
    const indices = [...waiting.keys()].sort((a, b) => a - b)
    if (series.next === undefined) {
      series.next = indices[0]
      return this.#tellNext(series)
    }
    for (const index of indices) {
      const event = waiting.get(index)!
      waiting.delete(index)
      if (index > series.next) this.#miss(event)
      series.next = index + 1
      this.#tell(event)
    }
    if (waiting.size === 0) series.waiting = undefined
  }
}
