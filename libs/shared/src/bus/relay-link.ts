/**
 * Frames between a worker and the hub that relays, over a stream that keeps their order. What one turn of the event loop
 * produces leaves in one write. A frame is its length, its kind, whom it is for or from, a number, a time, a subject and
 * a payload.
 */
import type { Duplex } from 'node:stream'
import { limits } from '../limits.ts'

/** The numbers travel. Those of patterns go to every peer, those of requests to one. */
export const FRAME = {
  listen: 1,
  unlisten: 2,
  serve: 3,
  unserve: 4,
  event: 5,
  /** Asks whether all that was said before has been heard; `flushed` is the answer. */
  flush: 6,
  flushed: 7,
  request: 8,
  reply: 9,
  /** Replies whose payload is the reason of a failure. */
  unavailable: 10,
  failed: 11,
  /** Nobody waits for the answer any more. */
  gone: 12,
  /** The first word of a newcomer. */
  hello: 15,
  /** The newcomer knows the patterns of all who were there. */
  welcome: 13,
  /** A peer is no more. */
  left: 14,
} as const
export type FrameKind = (typeof FRAME)[keyof typeof FRAME]

export type Frame = {
  kind: FrameKind
  /** Whom it is for, towards the hub; whom it is from, away from it. */
  peer: number
  /** Of a request or a flush. */
  id: number
  timeoutMs: number
  subject: string
  payload: Uint8Array
}
const EMPTY = Buffer.alloc(0)
export const frame = (kind: FrameKind, fields: Partial<Omit<Frame, 'kind'>> = {}): Frame => ({
  kind,
  peer: 0,
  id: 0,
  timeoutMs: 0,
  subject: '',
  payload: EMPTY,
  ...fields,
})

const LENGTH_BYTES = 4
const HEAD_BYTES = 17

/** Why a peer is lost that was not given up. */
export const ENDED = 'it has ended'

/** One end. `onLost` is called once, when the other end is gone, does not read, or says what makes no sense. */
export class Link {
  readonly #stream: Duplex
  readonly #onFrame: (frame: Frame & { payload: Buffer }) => void
  readonly #onLost: (reason: string) => void
  readonly #chunks: Buffer[] = []
  #received = 0
  #isCorked = false
  #isOver = false

  constructor(stream: Duplex, onFrame: (frame: Frame & { payload: Buffer }) => void, onLost: (reason: string) => void) {
    this.#stream = stream
    this.#onFrame = onFrame
    this.#onLost = onLost
    stream.on('data', (chunk: Buffer) => this.#read(chunk))
    // Processes that end are heard of in one way or the other.
    for (const end of ['error', 'end', 'close']) stream.on(end, () => this.lose(ENDED))
  }

  /** Copies what it is given. Lost when the other end lets too much wait. */
  send({ kind, peer, id, timeoutMs, subject, payload }: Frame): void {
    if (this.#isOver) return
    const name = Buffer.from(subject)
    const bytes = Buffer.allocUnsafe(HEAD_BYTES + name.length + payload.length)
    bytes.writeUInt32LE(bytes.length - LENGTH_BYTES, 0)
    bytes.writeUInt8(kind, 4)
    bytes.writeUInt16LE(peer, 5)
    bytes.writeUInt32LE(id, 7)
    bytes.writeUInt32LE(timeoutMs, 11)
    bytes.writeUInt16LE(name.length, 15)
    name.copy(bytes, HEAD_BYTES)
    bytes.set(payload, HEAD_BYTES + name.length)
    if (!this.#isCorked) {
      this.#isCorked = true
      this.#stream.cork()
      setImmediate(() => {
        this.#isCorked = false
        this.#stream.uncork()
      })
    }
    this.#stream.write(bytes)
    if (this.#stream.writableLength > limits.relay_backlog.value) this.lose('it does not read what it is sent')
  }
  /** Ends when all that was sent has left. */
  close(): void {
    this.#isOver = true
    this.#stream.end()
  }
  lose(reason: string): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#stream.destroy()
    this.#onLost(reason)
  }

  #read(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#received += chunk.length
    if (this.#received < LENGTH_BYTES) return
    if (this.#chunks[0]!.length < LENGTH_BYTES) this.#join()
    if (this.#received < LENGTH_BYTES + this.#chunks[0]!.readUInt32LE(0)) return
    let bytes = this.#join()
    for (let end = endOf(bytes); end <= bytes.length && !this.#isOver; end = endOf(bytes)) {
      this.#onFrame(parse(bytes.subarray(0, end)))
      bytes = bytes.subarray(end)
    }
    this.#chunks.length = 0
    if (bytes.length > 0) this.#chunks.push(bytes)
    this.#received = bytes.length
  }
  #join(): Buffer {
    if (this.#chunks.length > 1) this.#chunks.splice(0, this.#chunks.length, Buffer.concat(this.#chunks))
    return this.#chunks[0]!
  }
}

/** Where the first frame ends; infinite when even its length is not there yet. */
const endOf = (bytes: Buffer): number => (bytes.length < LENGTH_BYTES ? Infinity : LENGTH_BYTES + bytes.readUInt32LE(0))

function parse(bytes: Buffer): Frame & { payload: Buffer } {
  const subjectEnd = HEAD_BYTES + bytes.readUInt16LE(15)
  return {
    kind: bytes.readUInt8(4) as FrameKind,
    peer: bytes.readUInt16LE(5),
    id: bytes.readUInt32LE(7),
    timeoutMs: bytes.readUInt32LE(11),
    subject: bytes.toString('utf8', HEAD_BYTES, subjectEnd),
    payload: bytes.subarray(subjectEnd),
  }
}
