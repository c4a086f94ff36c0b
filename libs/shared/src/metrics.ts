/** What is counted, in Prometheus' terms; docs/operations.md has a table of it. */

import { serverVersion } from './version.ts'

type Prometheus = typeof import('prom-client')
type Registry = InstanceType<Prometheus['Registry']>

/** Of the lanes of a service, by name (DESIGN §11). */
export type LaneFigures = {
  readonly [lane: string]: { running: number; waiting: number; refused: number; waitedSeconds: number }
}

/** Of the connections to the database. */
export type PoolFigures = { connections: number; idle: number; waiting: number; waitedSeconds: number }

export type StoreOperation = 'read' | 'create' | 'remove'
/** `missing` and `corrupt`: it answered, but not with the block. */
export type StoreOutcome = 'ok' | 'missing' | 'corrupt' | 'failed'

/** Whether a node of the block store did what it was asked for last. */
export type NodeFigure = { name: string; isUp: boolean }

/** Made once per process and passed down. Label values come from the protocol table, never from a client. */
export type Metrics = {
  /** A command that was answered; `seconds` is how long that took. */
  request(cmd: string, status: string, seconds: number): void
  /** A socket that was opened (+1) or closed (-1). */
  connections(change: 1 | -1): void
  /** A WebSocket that ended or was refused; `reason` is one of few. */
  connectionEnded(reason: string): void
  /** An event that was delivered to a client. */
  event(event: string): void
  /** What a node of the block store was asked for, and how that ended. */
  blockstore(node: string, operation: StoreOperation, outcome: StoreOutcome, seconds: number): void
  /** Whether the process can work, read whenever somebody asks. */
  readiness(isReady: () => boolean): void
  /** What waits in the lanes of a service, read whenever somebody asks. */
  lanes(service: string, figures: () => LaneFigures): void
  /** The connections to the database, read likewise. */
  pool(figures: () => PoolFigures): void
  /** The nodes of the block store, the same ones at each time, read likewise. */
  nodes(figures: () => readonly NodeFigure[]): void
  /** Everything, in Prometheus' text format. */
  expose(): Promise<{ contentType: string; body: string }>
}

/** For processes that nobody watches. */
export const noMetrics: Metrics = {
  request: () => {},
  connections: () => {},
  connectionEnded: () => {},
  event: () => {},
  blockstore: () => {},
  readiness: () => {},
  lanes: () => {},
  pool: () => {},
  nodes: () => {},
  expose: async () => ({ contentType: 'text/plain', body: '' }),
}

/** Upper bounds in seconds: from a bus round trip to the deadline of block data. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/**
 * Loads the library, so it costs time and memory only where metrics are wanted. `labels` stand on everything that this
 * process tells.
 */
export async function createMetrics(labels: { [name: string]: string } = {}): Promise<Metrics> {
  const prometheus = await import('prom-client')
  const registry = new prometheus.Registry()
  registry.setDefaultLabels(labels)
  prometheus.collectDefaultMetrics({ register: registry })
  new prometheus.Gauge({
    name: 'parsec_build_info',
    help: 'Version of the server, as a label of 1',
    labelNames: ['version', 'node'],
    registers: [registry],
  }).set({ version: serverVersion(), node: process.versions.node }, 1)
  return {
    ...ofClients(prometheus, registry),
    ...ofNodes(prometheus, registry),
    ...ofLanes(prometheus, registry),
    ...ofProcess(prometheus, registry),
    expose: async () => ({ contentType: registry.contentType, body: await registry.metrics() }),
  }
}

function ofClients(
  { Counter, Gauge, Histogram }: Prometheus,
  registry: Registry,
): Pick<Metrics, 'request' | 'connections' | 'connectionEnded' | 'event'> {
  const registers = [registry]
  const requests = new Counter({
    name: 'parsec_requests_total',
    help: 'Commands answered',
    labelNames: ['cmd', 'status'],
    registers,
  })
  const durations = new Histogram({
    name: 'parsec_request_seconds',
    help: 'Time to answer a command',
    labelNames: ['cmd'],
    buckets: BUCKETS,
    registers,
  })
  const connections = new Gauge({ name: 'parsec_connections', help: 'Open client connections', registers })
  const ends = new Counter({
    name: 'parsec_connections_ended_total',
    help: 'Client connections that ended or were refused',
    labelNames: ['reason'],
    registers,
  })
  const events = new Counter({
    name: 'parsec_events_total',
    help: 'Events delivered to clients',
    labelNames: ['event'],
    registers,
  })
  return {
    request(cmd, status, seconds) {
      requests.inc({ cmd, status })
      durations.observe({ cmd }, seconds)
    },
    connections: change => connections.inc(change),
    connectionEnded: reason => ends.inc({ reason }),
    event: event => events.inc({ event }),
  }
}

function ofNodes({ Counter, Gauge, Histogram }: Prometheus, registry: Registry): Pick<Metrics, 'blockstore' | 'nodes'> {
  const registers = [registry]
  const errors = new Counter({
    name: 'parsec_blockstore_errors_total',
    help: 'Failures of block store nodes',
    labelNames: ['node'],
    registers,
  })
  const durations = new Histogram({
    name: 'parsec_blockstore_seconds',
    help: 'Time that a node of the block store took',
    labelNames: ['node', 'operation', 'outcome'],
    buckets: BUCKETS,
    registers,
  })
  return {
    blockstore(node, operation, outcome, seconds) {
      durations.observe({ node, operation, outcome }, seconds)
      if (outcome !== 'ok') errors.inc({ node })
    },
    nodes(figures) {
      new Gauge({
        name: 'parsec_blockstore_up',
        help: 'Whether a node of the block store did what it was asked for last',
        labelNames: ['node'],
        registers,
        collect() {
          for (const { name, isUp } of figures()) this.set({ node: name }, Number(isUp))
        },
      })
      // What grows from nothing is no increase to Prometheus, and one lost block is one too many.
      for (const { name: node } of figures())
        for (const outcome of ['missing', 'corrupt']) durations.zero({ node, operation: 'read', outcome })
    },
  }
}

function ofLanes({ Gauge }: Prometheus, registry: Registry): Pick<Metrics, 'lanes'> {
  const services = new Map<string, () => LaneFigures>()
  const gauge = (name: string, help: string, pick: (figures: LaneFigures[string]) => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['service', 'lane'],
      registers: [registry],
      collect() {
        for (const [service, figures] of services)
          for (const [lane, of] of Object.entries(figures())) this.set({ service, lane }, pick(of))
      },
    })
  gauge('parsec_lane_running', 'Requests that a service works on', of => of.running)
  gauge('parsec_lane_waiting', 'Requests that wait for their turn', of => of.waiting)
  gauge('parsec_lane_refused_total', 'Requests that could not begin within their deadline', of => of.refused)
  gauge('parsec_lane_waited_seconds_total', 'Seconds that requests have waited for their turn', of => of.waitedSeconds)
  return { lanes: (service, figures) => void services.set(service, figures) }
}

function ofProcess({ Gauge }: Prometheus, registry: Registry): Pick<Metrics, 'readiness' | 'pool'> {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read())
      },
    })
  return {
    readiness: isReady =>
      gauge('parsec_ready', 'Whether the process can work, as /readyz says', () => Number(isReady())),
    pool(figures) {
      gauge('parsec_database_connections', 'Open connections to the database', () => figures().connections)
      gauge('parsec_database_idle', 'Connections that nobody uses', () => figures().idle)
      gauge('parsec_database_waiting', 'Requests that wait for a connection', () => figures().waiting)
      gauge(
        'parsec_database_waited_seconds_total',
        'Seconds that were waited for a connection',
        () => figures().waitedSeconds,
      )
    },
  }
}

/** Several processes' metrics as one: what belongs to a name stands together. */
export function mergeExpositions(parts: readonly { contentType: string; body: string }[]): {
  contentType: string
  body: string
} {
  const byName = new Map<string, { head: Set<string>; samples: string[] }>()
  for (const { body } of parts) {
    let current = { head: new Set<string>(), samples: [] as string[] }
    for (const line of body.split('\n')) {
      const name = /^# HELP (\S+)/.exec(line)?.[1]
      if (name !== undefined) {
        current = byName.get(name) ?? { head: new Set(), samples: [] }
        byName.set(name, current)
      }
      if (line.startsWith('#')) current.head.add(line)
      else if (line !== '') current.samples.push(line)
    }
  }
  const lines = [...byName.values()].flatMap(({ head, samples }) => [...head, ...samples])
  return { contentType: parts[0]?.contentType ?? 'text/plain', body: lines.map(line => `${line}\n`).join('') }
}
