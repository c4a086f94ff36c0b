/** Every WebSocket of this gateway, and who may open one more. */
import type { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { maxClientMessage } from '@parsec/shared/bus/rpc'
import type { GatewayConfig } from '@parsec/shared/config'
import { accessLine, type HttpServer, serverHeader } from '@parsec/shared/http/server'
import type { Log } from '@parsec/shared/log'
import { releaseOf } from '@parsec/shared/protocol/versions'
import { type Server, WebSocketServer } from 'ws'
import { ClientSocket } from './client-socket.ts'
import { Connection, type Surroundings } from './connection.ts'

/** Handshakes that one address may have in progress; proxies and offices share an address. */
const MAX_HALF_OPEN_PER_ADDRESS = 256
/** Time for a client to answer a close frame. */
const CLOSE_TIMEOUT_MS = 10_000
/** The system looks after peers that vanished; the protocol has no server pings (spec 01 §6). */
const TCP_KEEPALIVE_MS = 120_000

export class Sockets {
  readonly connections = new Set<Connection>()
  isDraining = false
  readonly #surroundings: Surroundings
  readonly #log: Log
  readonly #server: Server<typeof ClientSocket>
  readonly #maxConnections: number
  readonly #serverHeader: string
  readonly #clientOf: HttpServer['clientOf']
  readonly #halfOpen = new Map<string, number>()

  constructor(surroundings: Omit<Surroundings, 'known' | 'gone'>, config: GatewayConfig, http: HttpServer) {
    this.#clientOf = http.clientOf
    this.#surroundings = {
      ...surroundings,
      known: connection => this.#settleAddress(connection),
      gone: connection => this.#remove(connection),
    }
    this.#log = surroundings.log
    this.#maxConnections = config.maxConnections
    this.#serverHeader = serverHeader(config.debug)
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: maxClientMessage(surroundings.bus),
      // Text is refused as a whole.
      skipUTF8Validation: true,
      handleProtocols: () => false,
      WebSocket: ClientSocket,
      ...{ closeTimeout: CLOSE_TIMEOUT_MS },
    })
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const startedAt = performance.now()
    if (request.url!.split('?', 1)[0] !== '/ws') return this.#refuse(socket, '404 Not Found')
    const from = this.#clientOf(request)
    const { address } = from
    const halfOpen = this.#halfOpen.get(address) ?? 0
    if (this.isDraining || this.connections.size >= this.#maxConnections || halfOpen >= MAX_HALF_OPEN_PER_ADDRESS) {
      this.#log.warning('Connection refused', {
        reason: this.isDraining
          ? 'server stops'
          : halfOpen >= MAX_HALF_OPEN_PER_ADDRESS
            ? 'too many handshakes from one address'
            : 'too many connections',
      })
      return this.#refuse(socket, '503 Service Unavailable')
    }
    this.#server.handleUpgrade(request, socket, head, client => {
      const raw = socket as Socket
      if (raw instanceof Socket) raw.setKeepAlive(true, TCP_KEEPALIVE_MS)
      this.#halfOpen.set(address, halfOpen + 1)
      this.#log.info(accessLine(request, from, 'ws', { statusCode: 101, getHeader: () => undefined }, startedAt))
      const connection = new Connection(
        this.#surroundings,
        client,
        raw,
        address,
        releaseOf(request.headers['user-agent']) ?? null,
      )
      this.connections.add(connection)
      this.#surroundings.metrics.connections(1)
    })
  }
  endAll(why: string, code: number): void {
    for (const connection of this.connections) connection.end(why, code)
  }
  terminateAll(): void {
    for (const connection of this.connections) connection.terminate()
  }

  #refuse(socket: Duplex, status: string): void {
    socket.on('error', () => socket.destroy())
    socket.end(
      `HTTP/1.1 ${status}\r\nserver: ${this.#serverHeader}\r\ndate: ${new Date().toUTCString()}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`,
    )
  }
  #settleAddress(connection: Connection): void {
    const { address } = connection
    if (address === undefined) return
    connection.address = undefined
    const left = (this.#halfOpen.get(address) ?? 1) - 1
    if (left > 0) this.#halfOpen.set(address, left)
    else this.#halfOpen.delete(address)
  }
  #remove(connection: Connection): void {
    this.#settleAddress(connection)
    if (this.connections.delete(connection)) this.#surroundings.metrics.connections(-1)
  }
}
