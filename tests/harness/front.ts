/**
 * One address for a cluster, as an ingress gives it: `/administration` goes to the admin service, everything else to
 * the gateways in turn. Bytes pass untouched, so that a client sees the gateways' own HTTP and WebSocket behaviour.
 *
 * The front reads just enough to find where a request ends (`Content-Length`), since a kept-alive connection may carry
 * requests for both. After an upgrade, or anything that it does not understand, the rest of the connection belongs to
 * the server that it talks to.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { freePort } from './ports.ts'

/** Bytes of an unfinished request line after which a gateway gets what came. */
const MAX_REQUEST_LINE = 2_048
const MAX_HEAD = 64 * 1024

export type Front = { readonly port: number; close(): Promise<void> }

export async function startFront(gateways: readonly number[], admin: number): Promise<Front> {
  const port = await freePort()
  const sockets = new Set<Socket>()
  const turn = { next: 0 }
  const server: Server = createServer({ allowHalfOpen: true, noDelay: true }, socket => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    new Passage(socket, gateways[turn.next++ % gateways.length]!, admin).open()
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve))
  return {
    port,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

type State = { at: 'line' } | { at: 'head'; seen: Buffer } | { at: 'body'; left: number } | { at: 'raw' }

/** One client connection, and its connections to a gateway and to admin. */
class Passage {
  readonly #client: Socket
  readonly #ports: readonly [gateway: number, admin: number]
  readonly #upstreams = new Map<number, Socket>()
  #current: Socket | undefined
  #state: State = { at: 'line' }
  #pending = Buffer.alloc(0)
  #clientEnded = false

  constructor(client: Socket, gateway: number, admin: number) {
    this.#client = client
    this.#ports = [gateway, admin]
  }

  open(): void {
    // A client that says nothing is the gateway's to judge.
    this.#current = this.#upstream(this.#ports[0])
    this.#client.on('data', (data: Buffer) => this.#read(data))
    this.#client.on('end', () => {
      this.#clientEnded = true
      if (this.#pending.length > 0) this.#current!.write(this.#pending)
      this.#current!.end()
    })
    this.#client.on('error', () => {})
    this.#client.on('close', () => {
      for (const upstream of this.#upstreams.values()) upstream.destroy()
    })
  }

  #upstream(port: number): Socket {
    const open = this.#upstreams.get(port)
    if (open) return open
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
    this.#upstreams.set(port, socket)
    socket.on('data', data => {
      if (this.#client.write(data)) return
      socket.pause()
      this.#client.once('drain', () => socket.resume())
    })
    socket.on('end', () => {
      if (socket === this.#current) this.#client.end()
      else socket.destroy()
    })
    socket.on('error', () => {
      if (socket === this.#current) this.#client.resetAndDestroy()
    })
    socket.on('close', () => {
      if (this.#upstreams.get(port) === socket) this.#upstreams.delete(port)
      if (socket === this.#current && !this.#client.writableEnded) this.#client.end()
      if (socket === this.#current && this.#clientEnded) this.#client.destroy()
    })
    return socket
  }

  #read(data: Buffer): void {
    let rest = this.#pending.length > 0 ? Buffer.concat([this.#pending, data]) : data
    this.#pending = Buffer.alloc(0)
    while (rest.length > 0) {
      if (this.#state.at === 'line') {
        const end = rest.indexOf('\n')
        if (end < 0 && rest.length < MAX_REQUEST_LINE) {
          this.#pending = Buffer.from(rest)
          return
        }
        const line = rest.toString('latin1', 0, Math.max(end, 0))
        this.#current = this.#upstream(this.#ports[/^[A-Z]+ \/administration(?:[/?# ]|$)/.test(line) ? 1 : 0])
        this.#state = / HTTP\/1\.1\r?$/.test(line) ? { at: 'head', seen: Buffer.alloc(0) } : { at: 'raw' }
        continue
      }
      const used = this.#advance(rest)
      this.#forward(rest.subarray(0, used))
      rest = rest.subarray(used)
    }
  }

  /** How many of the bytes belong to the current request; moves the state past them. */
  #advance(bytes: Buffer): number {
    const state = this.#state
    if (state.at === 'body') {
      const used = Math.min(state.left, bytes.length)
      this.#state = used === state.left ? { at: 'line' } : { at: 'body', left: state.left - used }
      return used
    }
    if (state.at === 'head') {
      const seen = Buffer.concat([state.seen, bytes])
      const end = seen.indexOf('\r\n\r\n')
      if (end < 0) {
        this.#state = seen.length > MAX_HEAD ? { at: 'raw' } : { at: 'head', seen }
        return bytes.length
      }
      this.#state = afterHead(seen.toString('latin1', 0, end + 2))
      return end + 4 - state.seen.length
    }
    return bytes.length
  }

  #forward(bytes: Buffer): void {
    const upstream = this.#current!
    if (upstream.destroyed || upstream.write(bytes)) return
    this.#client.pause()
    upstream.once('drain', () => this.#client.resume())
  }
}

/** What follows a request's head: a body of known length, the next request, or bytes that are none of the front's business. */
function afterHead(head: string): State {
  if (/^(?:upgrade|transfer-encoding|expect)[ \t]*:/im.test(head)) return { at: 'raw' }
  const lengths = [...head.matchAll(/^content-length:[ \t]*(.*?)[ \t]*\r$/gim)].map(match => match[1]!)
  if (lengths.length === 0) return { at: 'line' }
  const left = lengths.length === 1 && /^\d{1,15}$/.test(lengths[0]!) ? Number(lengths[0]) : undefined
  if (left === undefined) return { at: 'raw' }
  return left === 0 ? { at: 'line' } : { at: 'body', left }
}
