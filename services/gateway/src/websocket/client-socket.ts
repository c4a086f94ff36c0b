/**
 * The WebSocket of one client, as `ws` makes it: passes on what it tells, and sees that the client sends its messages
 * and reads its replies in time and within the bytes that are in flight (DESIGN §11).
 */
import type { Socket } from 'node:net'
import { CLIENT_SILENCE_MS } from '@parsec/shared/deadlines'
import type { Hold, InFlight } from '@parsec/shared/http/in-flight'
import { giveBack } from '@parsec/shared/lent'
import { limits } from '@parsec/shared/limits'
import { WebSocket } from 'ws'
import { endOnce, type Receiver, receiverOf, unfinishedBytes } from './receiver.ts'
import type { Writes } from './writes.ts'

/** Close codes (RFC 6455 §7.4.1). Clients treat all alike; proxies and operators do not. */
export const CLOSE_NORMAL = 1000
export const CLOSE_TOO_MANY = 1008
export const CLOSE_RESTART = 1012
export const CLOSE_UNAVAILABLE = 1013

/** Whoever lives by a socket. */
export type Owner = {
  /** A message of the client; null when it was text. */
  receive(data: Buffer | null): void
  /** The client took too long; the socket is closed at once. */
  cut(why: string): void
  /** More than the limit wait for their pongs. */
  pingsAreTooMany(): void
  socketFailed(error: Error & { code?: string }): void
  socketClosed(): void
}

/** The socket below knows which it carries. */
const CARRIED = Symbol('client')
type Carrier = Socket & { [CARRIED]?: ClientSocket }

/** It knows its owner, so that its listeners need no closures: there may be many thousands, most of them idle. */
export class ClientSocket extends WebSocket {
  #owner!: Owner
  #raw!: Carrier
  #inFlight!: InFlight
  #receiver!: Receiver
  #writes!: Writes
  /** A message that has begun. */
  #incoming: Hold | undefined
  /** Messages that are complete and not answered, and a reply that is not read. */
  #outgoing: Hold | undefined
  #kept = 0
  #unansweredPings = 0
  #isUnread = false
  /** Why the socket is not read: a command in progress, or no room. */
  #isBusy = false
  /** Called when there is room, if it waits for that. */
  #roomCame: (() => void) | undefined

  /** From now on `owner` is told. */
  belongTo(owner: Owner, raw: Socket, inFlight: InFlight, writes: Writes): void {
    this.#writes = writes
    this.#owner = owner
    this.#raw = raw
    this.#inFlight = inFlight
    this.#receiver = receiverOf(this)
    endOnce(this.#receiver)
    endOnce(raw)
    this.on('message', onMessage)
    this.on('ping', onPing)
    this.on('error', onError)
    this.on('close', onClose)
    // Behind the listener of `ws`: what it made of the bytes is known by then.
    this.#raw[CARRIED] = this
    raw.on('data', onBytes)
  }
  get owner(): Owner {
    return this.#owner
  }
  /** The largest message that is taken now. */
  get mostBytes(): number {
    return this.#receiver._maxPayload
  }
  /** Larger messages close the connection from now on. */
  limitMessages(bytes: number): void {
    this.#receiver._maxPayload = bytes
  }

  /** Is not read until `keepReading`, since a message waits already. */
  keepBusy(): void {
    this.#isBusy = true
    this.#incoming?.pause()
    this.pause()
  }
  keepReading(): void {
    this.#isBusy = false
    this.#readOn()
  }
  /** A close frame, behind which nothing is sent; the one of the client may come behind whatever else it has sent. */
  closeWith(code: number): void {
    this.#isBusy = false
    this.close(code)
    this.#readOn()
  }

  pingCame(data: Buffer): void {
    if (this.readyState !== WebSocket.OPEN) return
    if (this.#unansweredPings >= limits.pings.value) return this.#owner.pingsAreTooMany()
    this.#unansweredPings++
    this.pong(data, false, () => void this.#unansweredPings--)
  }
  messageCame(data: Buffer): void {
    // Nobody will answer.
    if (this.readyState !== WebSocket.OPEN) return
    this.#kept += data.length
    this.#settle()
    this.#owner.receive(data)
  }
  /** A message of so many bytes needs no memory any more. */
  messageDone(bytes: number): void {
    this.#kept -= bytes
    this.#settle()
  }
  /** Sends a reply, which is given away; true when no more is unread than one client may leave. Else `then` is called when it has been read. */
  deliver(reply: Buffer, then: () => void): boolean {
    const most = limits.small_message.value
    if (this.bufferedAmount + reply.length <= most) {
      // As `ws` would send it, which compresses nothing and thus keeps nothing back.
      if (this.readyState === WebSocket.OPEN) this.#writes.send(this.#raw, reply)
      return true
    }
    this.send(reply, error => {
      if (!error) giveBack(reply)
      if (error || !this.#isUnread) return
      this.#isUnread = false
      this.#raw.setTimeout(0)
      this.#settle()
      then()
    })
    if (this.bufferedAmount <= most) return true
    this.#isUnread = true
    this.#raw.setTimeout(CLIENT_SILENCE_MS)
    if (this.#raw.listenerCount('timeout', onTimeout) === 0) this.#raw.on('timeout', onTimeout)
    this.#outgoing ??= this.#hold()
    this.#outgoing.send(this.bufferedAmount + this.#kept)
    return false
  }
  /** Nothing of the client is kept any more. */
  gone(): void {
    if (this.#roomCame) this.#inFlight.forget(this.#roomCame)
    this.#roomCame = undefined
    this.#kept = 0
    this.#isUnread = false
    this.#settle()
    this.#incoming?.end()
    this.#incoming = undefined
  }

  /** What `ws` made of them is known. */
  bytesCame(): void {
    const bytes = unfinishedBytes(this.#receiver)
    if (bytes === undefined) {
      this.#incoming?.end()
      this.#incoming = undefined
      return
    }
    this.#incoming ??= this.#hold()
    this.#incoming.receive(bytes)
    if (this.#isBusy) this.#incoming?.pause()
    else if (!this.#roomCame && this.#inFlight.isTooMuch(bytes)) this.#waitForRoom()
  }
  #waitForRoom(): void {
    if (this.readyState !== WebSocket.OPEN) return this.#cut('too many bytes in flight')
    this.#roomCame = () => {
      this.#roomCame = undefined
      this.#readOn()
    }
    this.#incoming?.pause()
    this.pause()
    this.#inFlight.whenRoom(this.#roomCame)
  }
  #readOn(): void {
    if (this.#isBusy || this.#roomCame) return
    this.#incoming?.goOn()
    this.resume()
  }
  #settle(): void {
    if (this.#isUnread) return
    if (this.#kept > limits.small_message.value) {
      this.#outgoing ??= this.#hold()
      this.#outgoing.keep(this.#kept)
    } else if (this.#outgoing) {
      this.#outgoing.end()
      this.#outgoing = undefined
    }
  }
  #hold(): Hold {
    return this.#inFlight.hold(why => this.#cut(why))
  }
  #cut(why: string): void {
    this.gone()
    this.#owner.cut(why)
    this.terminate()
  }
  isSilent(): void {
    if (this.#isUnread) this.#cut('too slow')
  }
}

function onBytes(this: Carrier): void {
  this[CARRIED]?.bytesCame()
}
function onTimeout(this: Carrier): void {
  this[CARRIED]?.isSilent()
}
function onMessage(this: WebSocket, data: unknown, isBinary: boolean): void {
  if (!(this instanceof ClientSocket)) return
  if (isBinary) this.messageCame(data as Buffer)
  else this.owner.receive(null)
}
function onPing(this: WebSocket, data: Buffer): void {
  if (this instanceof ClientSocket) this.pingCame(data)
}
function onError(this: WebSocket, error: Error): void {
  if (this instanceof ClientSocket) this.owner.socketFailed(error)
}
function onClose(this: WebSocket): void {
  if (!(this instanceof ClientSocket)) return
  this.gone()
  this.owner.socketClosed()
}
