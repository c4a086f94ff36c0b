/** The gateway: WebSocket and HTTP clients on one side, the bus on the other (DESIGN §6). */
import type { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Bus } from '@parsec/shared/bus/bus'
import { maxClientMessage } from '@parsec/shared/bus/rpc'
import type { GatewayConfig } from '@parsec/shared/config'
import { accessLine, type HttpServer, serverHeader } from '@parsec/shared/http/server'
import type { Log } from '@parsec/shared/log'
import { type Metrics, noMetrics } from '@parsec/shared/metrics'
import type { CommandName } from '@parsec/shared/protocol/registry'
import { releaseOf } from '@parsec/shared/protocol/versions'
import type { Service } from '@parsec/shared/service'
import { type Server, WebSocketServer } from 'ws'
import { eventCommands, type LocalHandler } from './events/commands.ts'
import { EventHub } from './events/hub.ts'
import { registerPages } from './http/pages.ts'
import { HttpRpc } from './http/rpc.ts'
import { exchangeCommands } from './invite/exchange.ts'
import { enrollmentCommands } from './invite/legacy-enrollment.ts'
import { CLOSE_UNAVAILABLE, ClientSocket, Connection, type Surroundings } from './websocket/connection.ts'
import { drainConnections } from './websocket/drain.ts'
import { Forwarder } from './websocket/forward.ts'

/** Handshakes that one address may have in progress; proxies and offices share an address. */
const MAX_HALF_OPEN_PER_ADDRESS = 256
/** Time for a client to answer a close frame. */
const CLOSE_TIMEOUT_MS = 10_000
/** The system looks after peers that vanished; the protocol has no server pings (spec 01 §6). */
const TCP_KEEPALIVE_MS = 120_000

export type GatewayDeps = { bus: Bus; log: Log; config: GatewayConfig; http: HttpServer; metrics?: Metrics }

/** Registers `/ws` and the HTTP routes; the caller listens once this has resolved. */
export async function startGateway({ bus, log, config, http, metrics = noMetrics }: GatewayDeps): Promise<Service> {
  const hub = new EventHub(bus, log)
  const forwarder = new Forwarder(bus)
  const local = new Map(
    Object.entries({ ...eventCommands(hub), ...enrollmentCommands(hub, bus), ...exchangeCommands(hub, bus) }),
  ) as unknown as ReadonlyMap<string, LocalHandler<CommandName>>
  const sockets = new Sockets(
    {
      bus,
      hub,
      log,
      forwarder,
      local,
      metrics,
      judge: { bus, hub, log, administrationToken: config.administrationToken },
    },
    config,
    http,
  )
  const rpc = new HttpRpc({ bus, hub, log, forwarder, local, metrics, sseKeepaliveSeconds: config.sseKeepaliveSeconds })
  registerPages(http.app, config.backendAddr)
  rpc.register(http.app)

  const { server } = http.app
  const onUpgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => sockets.upgrade(request, socket, head)
  server.on('upgrade', onUpgrade)
  // Other upgrades, as `h2c` that some clients always offer, are ordinary requests.
  Object.assign(server, {
    shouldUpgradeCallback: (request: IncomingMessage) => /^websocket$/i.test(request.headers.upgrade ?? ''),
  })
  const stopHearing = bus.onStatus(connected => {
    if (connected) return
    // Orders and events may be lost: clients come back and catch up (spec 01 §9).
    sockets.endAll('bus connection lost', CLOSE_UNAVAILABLE)
    rpc.endStreams('bus connection lost')
  })
  return {
    name: 'gateway',
    readiness: () => ({
      ready: bus.connected && !sockets.isDraining,
      detail: { ...(!bus.connected && { bus: 'disconnected' }), ...(sockets.isDraining && { gateway: 'draining' }) },
    }),
    async drain(deadlineMs) {
      sockets.isDraining = true
      rpc.endStreams('server stops')
      await drainConnections(sockets.connections, deadlineMs)
    },
    async stop() {
      sockets.isDraining = true
      stopHearing()
      sockets.terminateAll()
      rpc.endStreams('server stops')
      server.off('upgrade', onUpgrade)
      await hub.stop()
    },
  }
}

/** Every WebSocket of this gateway, and who may open one more. */
class Sockets {
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
