/**
 * The client side of a WebSocket (RFC 6455) with the least work: what a load generator burns, the server cannot have.
 * It speaks to a server that sends whole, unmasked binary frames, and says so when it meets anything else.
 */
import { connect, type Socket } from 'node:net'

const END_OF_HEAD = '\r\n\r\n'
const OPCODE_BINARY = 0x2
const OPCODE_CLOSE = 0x8
const FINAL = 0x80
const MASKED = 0x80
/** Servers need not look at how random a mask is; it must not be zero, or they would skip the unmasking. */
const MASK = 0x5aa5_3cc3
/** Of the byte at an offset of the payload. */
const maskAt = (at: number): number => (MASK >>> ((at & 3) << 3)) & 0xff
/** A payload of 64 KiB or more starts this far into its frame. */
const LONG_HEADER = 14
const SHORTEST_LONG = 0x1_0000

export class ClientSocket {
  readonly #socket: Socket
  #chunks: Buffer[] = []
  #have = 0
  #need = 1
  #open = false
  /** Called when the upgrade is accepted, before any message. */
  onOpen: () => void = () => {}
  /** Called with each message; it may alias a buffer that is used no further. */
  onMessage: (message: Buffer) => void = () => {}
  /** Called once, when the connection has ended. */
  onEnd: (error: Error) => void = () => {}

  /** Dials at once; `url` is `ws://HOST:PORT/PATH`. Set the callbacks before the next turn of the event loop. */
  constructor(url: string) {
    const { hostname, port, pathname } = new URL(url)
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true })
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk))
    this.#socket.on('error', error => this.#end(error))
    this.#socket.on('close', () => this.#end(new Error('connection lost')))
    this.#socket.write(
      `GET ${pathname} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    )
  }

  /** Sends what `frame` made; the same frame may be sent many times. */
  send(framed: Buffer): void {
    this.#socket.write(framed)
  }
  close(): void {
    this.onMessage = () => {}
    this.onEnd = () => {}
    this.#socket.end(frame(Buffer.alloc(0), OPCODE_CLOSE))
  }

  #end(error: Error): void {
    const { onEnd } = this
    this.onEnd = () => {}
    onEnd(error)
  }
  #take(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#have += chunk.length
    if (this.#have < this.#need) return
    const bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks)
    const rest = bytes.subarray(this.#open ? this.#frames(bytes, 0) : this.#upgraded(bytes))
    this.#chunks = rest.length === 0 ? [] : [rest]
    this.#have = rest.length
    if (this.#have === 0) this.#need = 1
  }
  /** Reads the reply to the upgrade; returns how many bytes were used. */
  #upgraded(bytes: Buffer): number {
    const end = bytes.indexOf(END_OF_HEAD)
    this.#need = bytes.length + 1
    if (end < 0) return 0
    const status = bytes.toString('latin1', 0, bytes.indexOf('\r\n'))
    if (!status.startsWith('HTTP/1.1 101')) {
      this.#end(new Error(`upgrade refused: ${status}`))
      return bytes.length
    }
    this.#open = true
    this.onOpen()
    return this.#frames(bytes, end + END_OF_HEAD.length)
  }
  /** Reads whole frames from `at` on; returns where the first incomplete one starts. */
  #frames(bytes: Buffer, at: number): number {
    for (;;) {
      const left = bytes.length - at
      this.#need = left + 1
      if (left < 2) return at
      const short = bytes[at + 1]! & 0x7f
      const header = short < 126 ? 2 : short === 126 ? 4 : 10
      if (left < header) return at
      const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : bytes.readUIntBE(at + 4, 6)
      this.#need = header + length
      if (left < this.#need) return at
      this.#dispatch(bytes[at]!, bytes.subarray(at + header, at + header + length))
      at += header + length
    }
  }
  #dispatch(head: number, payload: Buffer): void {
    if (head === (FINAL | OPCODE_BINARY)) this.onMessage(payload)
    else if (head === (FINAL | OPCODE_CLOSE)) {
      const code = payload.length >= 2 ? payload.readUInt16BE(0) : 'none'
      this.#end(new Error(`connection closed by the server with code ${code}`))
      this.#socket.destroy()
    } else this.#end(new Error(`unexpected frame ${head.toString(16)}`))
  }
}

/** A message as one masked frame. */
export function frame(message: Buffer, opcode = OPCODE_BINARY): Buffer {
  return message.length < SHORTEST_LONG ? shortFrame(message, opcode) : longFrame(message, opcode)
}

/** Changes a part of a framed message of `length` bytes that is not being sent. */
export function overwrite(framed: Buffer, length: number, at: number, bytes: Buffer): void {
  const start = framed.length - length
  for (const [i, byte] of bytes.entries()) framed[start + at + i] = byte ^ maskAt(at + i)
}

function shortFrame(message: Buffer, opcode: number): Buffer {
  const header = message.length < 126 ? 6 : 8
  const framed = Buffer.allocUnsafe(header + message.length)
  framed[0] = FINAL | opcode
  framed[1] = MASKED | (header === 6 ? message.length : 126)
  if (header === 8) framed.writeUInt16BE(message.length, 2)
  framed.writeInt32LE(MASK, header - 4)
  for (let i = 0; i < message.length; i++) framed[header + i] = message[i]! ^ maskAt(i)
  return framed
}

/** Starts at an offset that aligns the payload, which is masked by words. */
function longFrame(message: Buffer, opcode: number): Buffer {
  const start = -LONG_HEADER & 3
  const payload = start + LONG_HEADER
  const bytes = Buffer.alloc((payload + message.length + 3) & ~3)
  bytes[start] = FINAL | opcode
  bytes[start + 1] = MASKED | 127
  bytes.writeUIntBE(message.length, start + 4, 6)
  bytes.writeInt32LE(MASK, payload - 4)
  message.copy(bytes, payload)
  const words = new Int32Array(bytes.buffer, bytes.byteOffset + payload, (bytes.length - payload) / 4)
  for (let i = 0; i < words.length; i++) words[i] = words[i]! ^ MASK
  return bytes.subarray(start, payload + message.length)
}
