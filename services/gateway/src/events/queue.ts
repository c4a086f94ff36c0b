/** Events that one client has not read yet, oldest first (spec 01 §10.4). Most are empty: an empty queue holds no array. */

/** One more event than this ends the connection: a client catches up only through events or by reconnecting. */
export const MAX_PENDING_EVENTS = 100

export class EventQueue {
  #events: Buffer[] | null = null

  get size(): number {
    return this.#events?.length ?? 0
  }
  /** Takes an encoded event; false when the queue is full. */
  push(event: Buffer): boolean {
    if (this.#events === null) this.#events = [event]
    else if (this.#events.length < MAX_PENDING_EVENTS) this.#events.push(event)
    else return false
    return true
  }
  /** The oldest event, or undefined when there is none. */
  shift(): Buffer | undefined {
    if (this.#events === null) return undefined
    const event = this.#events.shift()
    if (this.#events.length === 0) this.#events = null
    return event
  }
}
