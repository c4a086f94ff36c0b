/**
 * A TCP proxy in front of a real database or broker, with the faults of networks and failovers at will:
 *
 *   await proxy.set({ kind: 'reset' })                   new and open connections are reset
 *   proxy.set({ kind: 'silent', only: 'open' })          a failover without RST: what is open is never answered again
 *   proxy.set({ kind: 'silent' })                        nothing is answered, new connections neither
 *   proxy.set({ kind: 'silent', way: 'to client' })      what the server says is lost, and the client is heard; or reversed
 *   proxy.set({ kind: 'delay', ms: 50 })                 each piece comes late, in both directions
 *   proxy.set({ kind: 'loss', chance: 0.01 })            a connection loses a piece for good: from then on it is silent
 *   proxy.set({ kind: 'refuse' })                        new connections are refused, open ones go on
 *   proxy.heal()                                         new connections are fine; those that fell silent stay so
 *
 * and once, on the connections that are open now: `reset()`, `halfClose()`, `forget()` (the server's side stays open and
 * hears nothing, like a client whose machine is gone; our side falls silent, too).
 */
import { connect, createServer, type Server, type Socket } from 'node:net'

export type Fault =
  | { readonly kind: 'none' }
  | { readonly kind: 'reset' }
  | { readonly kind: 'refuse' }
  | { readonly kind: 'silent'; readonly only?: 'open'; readonly way?: Way }
  | { readonly kind: 'delay'; readonly ms: number }
  | { readonly kind: 'loss'; readonly chance: number }

/** Of the bytes that are lost; both without it. */
type Way = 'to client' | 'to server'

/** More than the keep-alive of our sessions at PostgreSQL takes. */
const KEEPALIVE_MS = 60_000

/** `way`: which of its bytes are lost while it is silent, or all. */
type Pair = { client: Socket; server: Socket; isSilent: boolean; way?: Way | undefined }

export class TcpProxy {
  readonly url: string
  readonly #server: Server
  readonly #pairs = new Set<Pair>()
  /** Towards the server, of clients that are gone without a word: open until the server's keep-alive would notice. */
  readonly #forgotten = new Set<Socket>()
  #fault: Fault = { kind: 'none' }

  private constructor(server: Server, url: string) {
    this.#server = server
    this.url = url
  }

  /** A proxy in front of the server of a database URL; `url` is the same database through it. */
  static async start(databaseUrl: string): Promise<TcpProxy> {
    const behind = new URL(databaseUrl)
    const server = createServer({ pauseOnConnect: true, noDelay: true })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const before = new URL(databaseUrl)
    before.hostname = '127.0.0.1'
    before.port = String((server.address() as { port: number }).port)
    const proxy = new TcpProxy(server, before.href)
    server.on('connection', client => proxy.#accept(client, behind))
    return proxy
  }

  /** Connections that are open towards the clients. */
  get open(): number {
    return this.#pairs.size
  }
  /** … and that still speak. */
  get speaking(): number {
    return [...this.#pairs].filter(pair => !pair.isSilent).length
  }

  set(fault: Fault): void {
    this.#fault = fault
    if (fault.kind === 'reset') this.reset()
    if (fault.kind === 'silent') for (const pair of this.#pairs) silence(pair, fault.way)
  }
  heal(): void {
    this.#fault = { kind: 'none' }
  }
  reset(): void {
    for (const { client, server } of this.#pairs) {
      client.resetAndDestroy()
      server.resetAndDestroy()
    }
  }
  /** The server seems to have said its last word, and still listens. */
  halfClose(): void {
    for (const { client } of this.#pairs) client.end()
  }
  forget(): void {
    for (const pair of this.#pairs) silence(pair)
  }

  async close(): Promise<void> {
    for (const { client, server } of this.#pairs) {
      client.destroy()
      server.destroy()
    }
    for (const server of this.#forgotten) server.destroy()
    await new Promise(resolve => this.#server.close(resolve))
  }

  #accept(client: Socket, behind: URL): void {
    client.on('error', ignore)
    if (this.#fault.kind === 'refuse' || this.#fault.kind === 'reset') return void client.resetAndDestroy()
    const port = Number(behind.port || 5432)
    const server = connect({ host: behind.hostname, port, allowHalfOpen: true, noDelay: true })
    server.on('error', ignore)
    const pair: Pair = { client, server, isSilent: false }
    if (this.#fault.kind === 'silent' && this.#fault.only !== 'open') silence(pair, this.#fault.way)
    this.#pairs.add(pair)
    client.on('close', () => {
      this.#pairs.delete(pair)
      // The machine of a forgotten client does not say goodbye.
      if (!pair.isSilent) server.destroy()
      else {
        this.#forgotten.add(server)
        setTimeout(() => server.destroy(), KEEPALIVE_MS).unref()
      }
    })
    server.on('close', () => {
      this.#forgotten.delete(server)
      if (!pair.isSilent) client.destroy()
    })
    this.#carry(pair, client, server)
    this.#carry(pair, server, client)
    client.resume()
  }
  #carry(pair: Pair, from: Socket, to: Socket): void {
    // With one delay for all, what came first stays first.
    const send = (write: () => void) => {
      if (this.#fault.kind === 'delay') setTimeout(write, this.#fault.ms)
      else write()
    }
    const way = to === pair.client ? 'to client' : 'to server'
    const isLost = () => pair.isSilent && (pair.way ?? way) === way
    from.on('data', piece => {
      if (this.#fault.kind === 'loss' && Math.random() < this.#fault.chance) silence(pair)
      send(() => isLost() || to.write(piece))
    })
    from.on('end', () => send(() => isLost() || to.end()))
  }
}

function silence(pair: Pair, way?: Way): void {
  pair.isSilent = true
  pair.way = way
}
const ignore = () => {}
