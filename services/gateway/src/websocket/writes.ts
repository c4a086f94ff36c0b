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
  /** An event goes to many, one after another: its frame is made once. */
  #last: { message: Buffer; frame: readonly Buffer[] } | undefined

  /** A reply will come, see `came`. */
  expect(): void {
    this.#expected++
  }
  /** It came, or never will. */
  came(): void {
    this.#expected--
  }
  /** Sends a message to a client, together with others: at once when no more replies are expected, else on the next turn. */
  send(socket: Writable, message: Buffer): void {
    if (this.#last?.message !== message) this.#last = { message, frame: framed(message) }
    const { frame } = this.#last
    if (this.#expected === 0) {
      this.#flush()
      if (frame.length > 1) socket.cork()
      for (const piece of frame) socket.write(piece)
      if (frame.length > 1) socket.uncork()
      return
    }
    socket.cork()
    for (const piece of frame) socket.write(piece)
    this.#held.push(socket)
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#turnCame)
  }
  readonly #turnCame = (): void => {
    this.#scheduled = false
    this.#flush()
  }
  #flush(): void {
    if (this.#held.length === 0) return
    const held = this.#held
    this.#held = []
    for (const socket of held) socket.uncork()
  }
}

const FINAL_BINARY = 0x82
/** Lengths of a payload that say how many bytes behind them hold the length. */
const IN_TWO_BYTES = 126
const IN_EIGHT_BYTES = 127
/** Up to here a copy costs less than a write of two pieces. */
const MOST_COPIED = 2048

/** A message as a server sends it: one frame without a mask (RFC 6455 §5.2). */
export function framed(message: Buffer): Buffer[] {
  const { length } = message
  const size = length < IN_TWO_BYTES ? 2 : length < 0x1_0000 ? 4 : 10
  const isCopied = length <= MOST_COPIED
  const head = Buffer.allocUnsafe(isCopied ? size + length : size)
  head[0] = FINAL_BINARY
  if (size === 2) head[1] = length
  else if (size === 4) {
    head[1] = IN_TWO_BYTES
    head.writeUInt16BE(length, 2)
  } else {
    head[1] = IN_EIGHT_BYTES
    head.writeBigUInt64BE(BigInt(length), 2)
  }
  if (!isCopied) return [head, message]
  message.copy(head, size)
  return [head]
}
