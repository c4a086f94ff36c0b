/** Every WebSocket of this gateway, and who may open one more. */

import type { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { Bag } from '@parsec/shared/bag'
import type { GatewayConfig } from '@parsec/shared/config'
import { limitKeys } from '@parsec/shared/cuts'
import { CLOSE_FRAME_MS, TCP_KEEPALIVE_MS } from '@parsec/shared/deadlines'
import { networkOf } from '@parsec/shared/http/client-address'
import { refuseSocket } from '@parsec/shared/http/refusal'
import { type HttpServer, serverHeader } from '@parsec/shared/http/server'
import { limits } from '@parsec/shared/limits'
import { releaseOf } from '@parsec/shared/protocol/versions'
import { type Server, WebSocketServer } from 'ws'
import { ClientSocket } from './client-socket.ts'
import { Connection, type Surroundings } from './connection.ts'
import { Challenges } from './handshake.ts'
import { Writes } from './writes.ts'

const SWITCHING_PROTOCOLS = { statusCode: 101, getHeader: () => undefined }

export class Sockets {
  readonly connections = new Bag<Connection>()
  isDraining = false
  readonly #surroundings: Surroundings
  readonly #server: Server<typeof ClientSocket>
  readonly #serverHeader: string
  readonly #http: HttpServer
  readonly #halfOpen = new Map<string, number>()

  constructor(
    surroundings: Omit<Surroundings, 'challenges' | 'inFlight' | 'writes' | 'known' | 'gone'>,
    config: GatewayConfig,
    http: HttpServer,
  ) {
    this.#http = http
    this.#surroundings = {
      ...surroundings,
      inFlight: http.inFlight,
      writes: new Writes(),
      challenges: new Challenges(),
      known: connection => this.#settleAddress(connection),
      gone: connection => this.#remove(connection),
    }
    this.#serverHeader = serverHeader(config.debug)
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      // Until the client is known.
      maxPayload: limits.handshake_message.value,
      maxFragments: limits.message_frames.value,
      // Text is refused as a whole.
      skipUTF8Validation: true,
      handleProtocols: () => false,
      WebSocket: ClientSocket,
      // The library would drop whoever sends too many without a word.
      autoPong: false,
      ...{ closeTimeout: CLOSE_FRAME_MS },
    })
    this.#server.on('headers', headers => headers.push(`server: ${this.#serverHeader}`))
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const startedAt = performance.now()
    if (request.url!.split('?', 1)[0] !== '/ws') return refuseSocket(socket, 404, this.#serverHeader)
    const from = this.#http.clientOf(request)
    const { address } = from
    const network = networkOf(address)
    const halfOpen = this.#halfOpen.get(network) ?? 0
    const reason = this.isDraining
      ? 'server stops'
      : this.#http.sockets.areTooMany
        ? 'too many connections'
        : halfOpen >= limits.half_open_handshakes.value
          ? 'too many handshakes from one address'
          : undefined
    if (reason) {
      this.#surroundings.log.warning('Connection refused', { reason, address, ...limitKeys(reason) })
      this.#surroundings.metrics.connectionEnded(reason)
      return refuseSocket(socket, 503, this.#serverHeader)
    }
    // The answer to the upgrade and the challenge behind it leave together.
    socket.cork()
    this.#server.handleUpgrade(request, socket, head, client => {
      const raw = socket as Socket
      if (raw instanceof Socket) raw.setKeepAlive(true, TCP_KEEPALIVE_MS)
      this.#halfOpen.set(network, halfOpen + 1)
      const connection = new Connection(
        this.#surroundings,
        client,
        raw,
        address,
        releaseOf(request.headers['user-agent']) ?? null,
      )
      const { conn_id } = connection
      this.#http.access.write(request, from, 'ws', SWITCHING_PROTOCOLS, startedAt, { conn_id })
      this.connections.add(connection)
      this.#surroundings.metrics.connections(1)
    })
    socket.uncork()
  }
  endAll(why: string, code: number): void {
    void this.#surroundings.hub.slices.each(this.connections.all(), connection => connection.end(why, code))
  }
  terminateAll(): void {
    for (const connection of this.connections.all()) connection.terminate()
  }

  #settleAddress(connection: Connection): void {
    const { address } = connection
    if (address === undefined) return
    connection.address = undefined
    const network = networkOf(address)
    const left = (this.#halfOpen.get(network) ?? 1) - 1
    if (left > 0) this.#halfOpen.set(network, left)
    else this.#halfOpen.delete(network)
  }
  #remove(connection: Connection): void {
    this.#settleAddress(connection)
    if (this.connections.delete(connection)) this.#surroundings.metrics.connections(-1)
  }
}
