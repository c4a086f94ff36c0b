/** The WebSocket of one client, as `ws` makes it: passes on what it tells, and knows how connections are closed. */
import { WebSocket } from 'ws'

/** Close codes (RFC 6455 §7.4.1). Clients treat all alike; proxies and operators do not. */
export const CLOSE_NORMAL = 1000
export const CLOSE_TOO_BIG = 1009
export const CLOSE_RESTART = 1012
export const CLOSE_UNAVAILABLE = 1013

/** Whoever lives by a socket. */
export type Owner = {
  /** A message of the client; null when it was text. */
  receive(data: Buffer | null): void
  socketFailed(error: Error & { code?: string }): void
  socketClosed(): void
}

/** It knows its owner, so that its listeners need no closures. */
export class ClientSocket extends WebSocket {
  #owner: Owner | undefined

  /** From now on `owner` is told. */
  belongTo(owner: Owner): void {
    this.#owner = owner
    this.on('message', onMessage)
    this.on('error', onError)
    this.on('close', onClose)
  }
  get owner(): Owner | undefined {
    return this.#owner
  }
}

const ownerOf = (socket: WebSocket): Owner | undefined => (socket instanceof ClientSocket ? socket.owner : undefined)
function onMessage(this: WebSocket, data: unknown, isBinary: boolean): void {
  ownerOf(this)?.receive(isBinary ? (data as Buffer) : null)
}
function onError(this: WebSocket, error: Error): void {
  ownerOf(this)?.socketFailed(error)
}
function onClose(this: WebSocket): void {
  ownerOf(this)?.socketClosed()
}
