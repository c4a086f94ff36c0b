/**
 * Replies that are ready in the same turn of the event loop are written together. Whoever sends to a client that sleeps
 * has to wake it, and that costs more than the write: once the first is awake it finds the others there.
 */
import type { Writable } from 'node:stream'

export class Writes {
  /** Replies that somebody works on. */
  #expected = 0
  #held: Writable[] = []
  #scheduled = false

  /** A reply will come, see `came`. */
  expect(): void {
    this.#expected++
  }
  /** It came, or never will. */
  came(): void {
    this.#expected--
  }
  /** What is sent on the socket from here on leaves with the others: at once when no more replies are expected, else on the next turn. */
  hold(socket: Writable): void {
    socket.cork()
    this.#held.push(socket)
  }
  /** Everything that was to be sent on the socket has been. */
  release(): void {
    if (this.#expected === 0) this.#flush()
    else if (!this.#scheduled) {
      this.#scheduled = true
      setImmediate(this.#turnCame)
    }
  }
  readonly #turnCame = (): void => {
    this.#scheduled = false
    this.#flush()
  }
  #flush(): void {
    const held = this.#held
    this.#held = []
    for (const socket of held) socket.uncork()
  }
}
