/** Events that one client has not read yet, oldest first (spec 01 §10.4). Most are empty: an empty queue holds no array. */
import type { Cut } from '@parsec/shared/cuts'
import { limits } from '@parsec/shared/limits'

/** Events without fields are told one by one (spec 03 §7.8), but in a flood. */
const MOST_ALIKE = 10

/** The bytes of all queues of a process. */
export class QueuedBytes {
  total = 0
}

/**
 * A client catches up only through events or by reconnecting: what does not fit ends its connection. While all queues
 * together are full, that is what goes beyond a small share.
 */
export class EventQueue {
  readonly #all: QueuedBytes
  #events: Buffer[] | null = null
  #bytes = 0
  constructor(all: QueuedBytes) {
    this.#all = all
  }

  get size(): number {
    return this.#events?.length ?? 0
  }
  /** Takes an encoded event; false when there is no room. One that `says nothing` new merges with equal ones, when they are many. */
  push(event: Buffer, saysNothing: boolean): boolean {
    if (saysNothing && (this.#events?.filter(other => other.equals(event)).length ?? 0) >= MOST_ALIKE) return true
    if (this.lackFor(event)) return false
    this.#events ??= []
    this.#events.push(event)
    this.#count(event.length)
    return true
  }
  /** Why there is no room for an event; undefined when there is. */
  lackFor(event: Buffer): Cut | undefined {
    const bytes = this.#bytes + event.length
    const { queued_events, queued_event_bytes, all_queued_event_bytes, queued_events_share } = limits
    if (this.size >= queued_events.value) return 'too many events unread'
    if (bytes > queued_event_bytes.value) return 'too many bytes of events unread'
    if (this.#all.total + event.length > all_queued_event_bytes.value && bytes > queued_events_share.value)
      return 'events of all clients unread'
    return undefined
  }
  /** The oldest event, or undefined when there is none. */
  shift(): Buffer | undefined {
    const event = this.#events?.shift()
    if (event) this.#count(-event.length)
    if (this.#events?.length === 0) this.#events = null
    return event
  }
  clear(): void {
    this.#events = null
    this.#count(-this.#bytes)
  }
  #count(change: number): void {
    this.#bytes += change
    this.#all.total += change
  }
}
