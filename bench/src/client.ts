/**
 * A WebSocket client that costs the load generator little: one listener per socket, no promise per message, and no
 * look at a reply beyond its status.
 */
import { createPrivateKey, type KeyObject, sign } from 'node:crypto'
import { decodeMap, type Encodable, encode, type Value } from '@parsec/shared/codec/msgpack'
import { ClientSocket, frame } from './socket.ts'

const API_VERSION = [3, 4]
/** Longest bin in a reply: a block of 1 MiB and its margin. */
const MAX_REPLY_BIN_BYTES = 2 * 1024 * 1024

/** Who connects. Plain data, so that it can be sent to another process; `signing_key` is PKCS #8 DER. */
export type Identity = {
  organization_id: string
  device_id: string
  root_verify_key: Buffer
  signing_key: Buffer
}

export const signingKeyOf = (identity: Identity): KeyObject =>
  createPrivateKey({ key: identity.signing_key, format: 'der', type: 'pkcs8' })

export const decodeReply = (bytes: Buffer): { [key: string]: Value } =>
  decodeMap(bytes, { maxBinBytes: MAX_REPLY_BIN_BYTES })

/** Throws an `Error` that shows the reply unless its status is `ok`. */
export function expectOk(bytes: Buffer): { [key: string]: Value } {
  const reply = decodeReply(bytes)
  if (reply.status !== 'ok') throw new Error(`unexpected reply: ${JSON.stringify(reply)}`)
  return reply
}

/** One socket. Messages that nobody awaits are kept, since a server may speak before the client listens. */
export class Wire {
  readonly #socket: ClientSocket
  #inbox: Buffer[] = []
  #receiving: { resolve: (message: Buffer) => void; reject: (error: Error) => void } | undefined
  #lost: Error | undefined

  private constructor(socket: ClientSocket) {
    this.#socket = socket
    socket.onMessage = message => {
      const receiving = this.#receiving
      this.#receiving = undefined
      if (receiving) receiving.resolve(message)
      else this.#inbox.push(message)
    }
    socket.onEnd = error => {
      this.#lost = error
      this.#receiving?.reject(error)
    }
  }

  /** Resolves when the WebSocket is open. */
  static open(url: string): Promise<Wire> {
    return new Promise((resolve, reject) => {
      const socket = new ClientSocket(url)
      const wire = new Wire(socket)
      const whenOpen = socket.onEnd
      socket.onEnd = reject
      socket.onOpen = () => {
        socket.onEnd = whenOpen
        resolve(wire)
      }
    })
  }

  send(message: Buffer): void {
    this.#socket.send(frame(message))
  }
  /** Sends what `frame` made, for messages that are sent over and over. */
  sendFrame(framed: Buffer): void {
    this.#socket.send(framed)
  }
  /** From now on every message goes to `onMessage`, and the end of the connection to `onLost`. */
  listen(onMessage: (message: Buffer) => void, onLost: (error: Error) => void): void {
    if (this.#lost) {
      onLost(this.#lost)
      return
    }
    this.#socket.onMessage = onMessage
    this.#socket.onEnd = onLost
    for (const message of this.#inbox.splice(0)) onMessage(message)
  }
  /** The next message; rejects when the connection ends first. One at a time, and not after `listen`. */
  receive(): Promise<Buffer> {
    const message = this.#inbox.shift()
    if (message) return Promise.resolve(message)
    if (this.#lost) return Promise.reject(this.#lost)
    return new Promise((resolve, reject) => {
      this.#receiving = { resolve, reject }
    })
  }
  /** Sends a command and returns its `ok` reply; any other status is an error. */
  async request(fields: Encodable & { cmd: string }): Promise<{ [key: string]: Value }> {
    this.send(encode(fields))
    return expectOk(await this.receive())
  }
  close(): void {
    this.#socket.close()
  }
}

/** Opens and authenticates a connection (spec 01 §7). `key` is `signingKeyOf(identity)`, made once by the caller. */
export async function connect(url: string, identity: Identity, key: KeyObject): Promise<Wire> {
  const wire = await Wire.open(url)
  const { challenge } = decodeReply(await wire.receive())
  const answer = encode({ type: 'signed_answer', answer: challenge as Buffer })
  wire.send(
    encode({
      handshake: 'answer',
      type: 'AUTHENTICATED',
      client_api_version: API_VERSION,
      organization_id: identity.organization_id,
      device_id: identity.device_id,
      rvk: identity.root_verify_key,
      answer: Buffer.concat([sign(null, answer, key), answer]),
    }),
  )
  const { result, help } = decodeReply(await wire.receive())
  if (result !== 'ok') throw new Error(`handshake refused: ${result} (${help})`)
  return wire
}
