/** The gateway: WebSocket and HTTP clients on one side, the bus on the other (DESIGN §6). */
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Bus } from '@parsec/shared/bus/bus'
import type { GatewayConfig } from '@parsec/shared/config'
import type { AdministrationGuard } from '@parsec/shared/http/administration-guard'
import type { HttpServer } from '@parsec/shared/http/server'
import type { Log } from '@parsec/shared/log'
import { type Metrics, noMetrics } from '@parsec/shared/metrics'
import type { Service } from '@parsec/shared/service'
import { Activity } from './activity.ts'
import { gatewayAnswers } from './answers.ts'
import { eventCommands } from './events/commands.ts'
import { EventHub } from './events/hub.ts'
import { registerPages } from './http/pages.ts'
import { HttpRpc } from './http/rpc.ts'
import { exchangeCommands } from './invite/exchange.ts'
import { enrollmentCommands } from './invite/legacy-enrollment.ts'
import { CLOSE_UNAVAILABLE } from './websocket/client-socket.ts'
import { drainConnections } from './websocket/drain.ts'
import { Forwarder } from './websocket/forward.ts'
import { Seen } from './websocket/seen.ts'
import { Sockets } from './websocket/sockets.ts'

export type GatewayDeps = {
  bus: Bus
  log: Log
  config: GatewayConfig
  http: HttpServer
  /** Asked by the administration handshake of API v1. */
  guard: AdministrationGuard
  metrics?: Metrics
}

/** Registers `/ws` and the HTTP routes; the caller listens once this has resolved. */
export async function startGateway({
  bus,
  log,
  config,
  http,
  guard,
  metrics = noMetrics,
}: GatewayDeps): Promise<Service> {
  const hub = new EventHub(bus, log, metrics)
  const forwarder = new Forwarder(bus)
  const local = new Map(
    Object.entries({ ...eventCommands(hub), ...enrollmentCommands(hub, bus), ...exchangeCommands(hub, bus) }),
  )
  const activity = new Activity(() => sockets.connections.size)
  const seen = new Seen(bus, log)
  const shared = { bus, activity, seen, hub, log, forwarder, local, metrics }
  const sockets = new Sockets({ ...shared, judge: { bus, hub, log, guard } }, config, http)
  const { sseKeepaliveSeconds } = config
  const rpc = new HttpRpc({ ...shared, access: http.access, sseKeepaliveSeconds })
  await registerPages(http.app, config)
  rpc.register(http.app)
  seen.start()
  const stopUpgrading = onUpgrade(http.app.server, sockets)
  const stopHearing = bus.onStatus(connected => {
    if (connected) return
    hub.forgetOrder()
    // Orders and events may be lost: clients come back and catch up (spec 01 §9).
    sockets.endAll('bus connection lost', CLOSE_UNAVAILABLE)
    rpc.endStreams('bus connection lost')
  })
  return {
    name: 'gateway',
    answers: gatewayAnswers({ connections: sockets.connections, hub, activity }),
    readiness: () => ({
      ready: bus.connected && !sockets.isDraining,
      detail: { ...(!bus.connected && { bus: 'disconnected' }), ...(sockets.isDraining && { gateway: 'draining' }) },
    }),
    async drain(deadlineMs) {
      sockets.isDraining = true
      http.stopAccepting()
      rpc.endStreams('server stops')
      await drainConnections(sockets.connections, deadlineMs)
      await seen.stop()
    },
    async stop() {
      sockets.isDraining = true
      stopHearing()
      sockets.terminateAll()
      rpc.endStreams('server stops')
      stopUpgrading()
      await hub.stop()
    },
  }
}

/** Opens WebSockets, until what it returns is called. Other upgrades, as `h2c` that some clients always offer, are ordinary requests. */
function onUpgrade(server: Server, sockets: Sockets): () => void {
  const upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer) => sockets.upgrade(request, socket, head)
  server.on('upgrade', upgrade)
  Object.assign(server, {
    shouldUpgradeCallback: (request: IncomingMessage) => /^websocket$/i.test(request.headers.upgrade ?? ''),
  })
  return () => void server.off('upgrade', upgrade)
}
