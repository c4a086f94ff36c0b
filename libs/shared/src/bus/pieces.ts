/**
 * A reply that is larger than a message of the broker, in pieces. The server sends so many of them, then waits until the
 * caller has them and asks for more: no broker has to keep more of it than that for a slow caller.
 */
import { headers, type MsgHdrs } from '@nats-io/transport-node'
import { MAX_REPLY_BYTES } from './bus.ts'

/** Header of a piece: its index, the number of pieces, and after how many the server waits. */
const HEADER = 'Parsec-Piece'
/** What a piece leaves of the broker's `max_payload` for its header. */
const HEADER_BYTES = 256
/**
 * Most bytes on their way at once, however large a message may be: what a broker keeps for all that one process has asked
 * has a bound, too (`max_pending`, 64 MiB), and beyond it the process is cut off.
 */
export const WINDOW_BYTES = 4 * 1024 * 1024
/** Of a piece; services may answer with a hundred messages. */
const PIECE_BYTES = 1024 * 1024

/** Whether a reply of so many bytes goes in one message. */
export const isWhole = (bytes: number, maxPayload: number): boolean => bytes <= Math.min(maxPayload, WINDOW_BYTES)

export type Piece = { payload: Buffer; headers: MsgHdrs /** Whether the server waits after it. */; isPause: boolean }

export function* piecesOf(reply: Buffer, maxPayload: number): Generator<Piece> {
  const size = Math.min(maxPayload - HEADER_BYTES, PIECE_BYTES)
  const count = Math.ceil(reply.length / size)
  const window = Math.max(Math.floor(WINDOW_BYTES / size), 1)
  for (let i = 0; i < count; i++) {
    const head = headers()
    head.set(HEADER, `${i} ${count} ${window}`)
    const isPause = (i + 1) % window === 0 && i + 1 < count
    yield { payload: reply.subarray(i * size, (i + 1) * size), headers: head, isPause }
  }
}

export const isPiece = (head: MsgHdrs): boolean => head.has(HEADER)

/** The pieces of one reply, as they come. */
export class Assembly {
  readonly #pieces: Buffer[] = []
  #bytes = 0

  /** The whole reply when this was the last piece, `more` when the server waits. Throws on what is no such series. */
  add(head: MsgHdrs, payload: Buffer): Buffer | 'more' | undefined {
    const [index, count, window] = head.get(HEADER).split(' ').map(Number)
    this.#bytes += payload.length
    if (index !== this.#pieces.length || this.#bytes > MAX_REPLY_BYTES) throw new Error('a piece of a reply is missing')
    this.#pieces.push(payload)
    if (this.#pieces.length === count) return Buffer.concat(this.#pieces, this.#bytes)
    return this.#pieces.length % window! === 0 ? 'more' : undefined
  }
}
