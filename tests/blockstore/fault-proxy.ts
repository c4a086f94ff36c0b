/**
 * An HTTP proxy in front of a real object store that does to single requests what networks and servers do on bad days.
 * It keeps the `Host` header, so that signatures stay valid and the store names the proxy in its own addresses. Where it
 * names another one, as the catalogue of Keystone does, the proxy may rename it.
 */
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'

export type Fault =
  /** The request goes on after so many milliseconds. */
  | { kind: 'latency'; ms: number }
  /** The connection breaks before the store hears of the request. */
  | { kind: 'reset' }
  /** The store does what it was asked for, the connection breaks before the answer. */
  | { kind: 'lost answer' }
  /** The connection breaks in the middle of the answer's body. */
  | { kind: 'truncated' }
  /** Half of the answer's body, announced as if it were all. */
  | { kind: 'shortened' }
  /** One bit of the request's body is flipped on its way. */
  | { kind: 'corrupt upload' }
  /** One bit of the answer's body is flipped on its way. */
  | { kind: 'corrupt download' }
  /** The proxy answers by itself. */
  | { kind: 'status'; status: number }
  /** Nothing ever comes back. */
  | { kind: 'silence' }

export type Seen = { readonly method: string; readonly path: string; readonly headers: IncomingMessage['headers'] }

/** Text in the bodies of answers that stands for another. */
export type Renamed = { readonly from: string; readonly to: string }

export class FaultProxy {
  /** What happens to a request; undefined: nothing. */
  fault: (seen: Seen) => Fault | undefined = () => undefined
  readonly seen: Seen[] = []
  readonly #target: URL
  readonly #renamed: Renamed | undefined
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(target: string, renamed?: Renamed) {
    this.#target = new URL(target)
    this.#renamed = renamed
    this.#server = createServer((incoming, outgoing) => this.#handle(incoming, outgoing))
    this.#server.on('connection', socket => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket)).on('error', () => {})
    })
  }
  static async start(target: string, renamed?: Renamed): Promise<FaultProxy> {
    const proxy = new FaultProxy(target, renamed)
    await new Promise<void>(resolve => proxy.#server.listen(0, '127.0.0.1', resolve))
    return proxy
  }
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }
  get connections(): number {
    return this.#sockets.size
  }
  /** The next `times` requests of a method suffer `fault`. */
  next(method: string, fault: Fault, times = 1): void {
    let left = times
    this.fault = seen => (seen.method === method && left-- > 0 ? fault : undefined)
  }
  async close(): Promise<void> {
    const closed = new Promise(resolve => this.#server.close(resolve))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #handle(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const seen = { method: incoming.method!, path: decodeURIComponent(incoming.url!), headers: incoming.headers }
    this.seen.push(seen)
    const fault = this.fault(seen)
    if (fault?.kind === 'reset') {
      incoming.socket.resetAndDestroy()
      return
    }
    const chunks: Buffer[] = []
    incoming.on('error', () => {})
    incoming.on('data', chunk => chunks.push(chunk))
    incoming.on('end', () => {
      const body = Buffer.concat(chunks)
      if (fault?.kind === 'silence') return
      if (fault?.kind === 'status') outgoing.writeHead(fault.status, { 'content-length': 0 }).end()
      else if (fault?.kind === 'latency') setTimeout(() => this.#forward(incoming, body, outgoing, fault), fault.ms)
      else this.#forward(incoming, body, outgoing, fault)
    })
  }

  #forward(incoming: IncomingMessage, body: Buffer, outgoing: ServerResponse, fault: Fault | undefined): void {
    const { method, url, headers } = incoming
    const { hostname, port } = this.#target
    const sent = fault?.kind === 'corrupt upload' ? flipped(body) : body
    const upstream = request({ hostname, port, method, path: url, headers }, answer => {
      // Swift may send an end marker behind the answer to a HEAD, which breaks the connection to it.
      if (method === 'HEAD') {
        answer.resume()
        return this.#answer(answer, Buffer.alloc(0), outgoing, fault)
      }
      const chunks: Buffer[] = []
      answer.on('data', chunk => chunks.push(chunk))
      answer.on('end', () => this.#answer(answer, this.#rename(answer, Buffer.concat(chunks)), outgoing, fault))
    })
    upstream.on('error', () => {
      if (!outgoing.headersSent) outgoing.destroy()
    })
    upstream.end(sent)
  }

  #rename({ headers }: IncomingMessage, body: Buffer): Buffer {
    if (!this.#renamed) return body
    const renamed = Buffer.from(body.toString().replaceAll(this.#renamed.from, this.#renamed.to))
    if (headers['content-length']) headers['content-length'] = String(renamed.length)
    return renamed
  }
  #answer(answer: IncomingMessage, body: Buffer, outgoing: ServerResponse, fault: Fault | undefined): void {
    const { statusCode, headers } = answer
    if (fault?.kind === 'lost answer') {
      outgoing.socket?.resetAndDestroy()
      return
    }
    const half = body.subarray(0, body.length / 2)
    const length = fault?.kind === 'shortened' ? { 'content-length': String(half.length) } : {}
    outgoing.writeHead(statusCode!, { ...headers, ...length })
    if (fault?.kind === 'truncated') outgoing.write(half, () => outgoing.destroy())
    else if (fault?.kind === 'shortened') outgoing.end(half)
    else outgoing.end(fault?.kind === 'corrupt download' ? flipped(body) : body)
  }
}

function flipped(body: Buffer): Buffer {
  const copy = Buffer.from(body)
  const middle = copy.length >> 1
  if (copy.length > 0) copy[middle]! ^= 1
  return copy
}
