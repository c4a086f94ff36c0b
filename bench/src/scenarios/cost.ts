/**
 * Processor time of the server and of PostgreSQL for each operation, against floors of the same run: E, a `ws` echo of a
 * small message; K, a prepared select by key; I, an insert and its commit; B, a bare client that reads or writes a block.
 * Server and floors have done all of it for a while before: a program that begins is compiled meanwhile, at its own cost, and
 * for longer the less often it does what is measured.
 */
import { backendsCpuMs, spentMs } from '../backends.ts'
import type { EchoTask } from '../ceilings/echo.ts'
import type { StatementsResult, StatementsTask } from '../ceilings/statements.ts'
import type { LoadResult } from '../meter.ts'
import { cpuMs, Worker } from '../processes.ts'
import { milliseconds, perSecond, type Row } from '../report.ts'
import type { Deployment } from '../server.ts'
import { BLOB_BYTES, BLOCK_BYTES } from '../stage.ts'
import { median } from '../statistics.ts'
import type { Workload } from '../workload.ts'
import type { Play, Scenario, Settings } from './scenario.ts'

/** Microseconds for each operation. */
type Cost = { server: number; postgres: number }
type Floors = { E: number; K: number; I: number; 'B read': Cost; 'B write': Cost }
type Limit = readonly [times: number, floor: keyof Floors]
type Operation = {
  what: string
  connections: number
  /** Null: handshakes. */
  workload: ((play: Play) => Workload) | null
  server: Limit
  postgres: Limit | null
}

const PING_BYTES = 20
/** How long each operation, and each floor, is done before the first round. */
const WARM_MS = 12_000
const read = ({ stage }: Play): Workload => ({ type: 'vlob_read', vlobs: stage.vlobs })
const update = ({ stage }: Play): Workload => ({ type: 'vlob_update', vlobs: stage.vlobs, blobBytes: BLOB_BYTES })
const mixed = ({ stage }: Play): Workload => ({ type: 'mixed', vlobs: stage.vlobs, blobBytes: BLOB_BYTES })
const ping = (): Workload => ({ type: 'ping', text: 'x'.repeat(PING_BYTES) })
const blockRead = ({ stage }: Play): Workload => ({ type: 'block_read', blocks: stage.blocks })
const blockCreate = ({ stage }: Play): Workload => ({
  type: 'block_create',
  realms: stage.realms,
  blockBytes: BLOCK_BYTES,
})

const OPERATIONS: readonly Operation[] = [
  { what: 'ping', connections: 16, workload: ping, server: [1.5, 'E'], postgres: null },
  { what: 'vlob_read', connections: 64, workload: read, server: [2, 'E'], postgres: [0.6, 'K'] },
  { what: 'vlob_read', connections: 1, workload: read, server: [6, 'E'], postgres: [2.5, 'K'] },
  { what: 'vlob_update', connections: 64, workload: update, server: [3, 'E'], postgres: [1.2, 'I'] },
  { what: 'vlob_update', connections: 1, workload: update, server: [14, 'E'], postgres: [5, 'I'] },
  { what: 'mixed', connections: 64, workload: mixed, server: [3, 'E'], postgres: [2, 'K'] },
  { what: 'handshake', connections: 64, workload: null, server: [20, 'E'], postgres: [1.5, 'K'] },
  { what: 'block_read', connections: 4, workload: blockRead, server: [1.3, 'B read'], postgres: [1.2, 'B read'] },
  { what: 'block_create', connections: 4, workload: blockCreate, server: [3.5, 'B write'], postgres: [1.5, 'B write'] },
]

export const cost: Scenario = {
  name: 'cost',
  about: 'processor time of server and PostgreSQL for each operation, against floors of the same run',
  run: async play => {
    const server = await play.oneProcess()
    const bare = await startBare(play)
    const costs = new Map<Operation, (Cost & LoadResult)[]>(OPERATIONS.map(operation => [operation, []]))
    const floors: Floors[] = []
    const warming = { ...play.settings, measureMs: WARM_MS }
    try {
      await measureFloors(play, bare, warming)
      for (const operation of OPERATIONS) await measure(play, server, operation, warming)
      for (let round = 0; round < play.settings.rounds; round++) {
        floors.push(await measureFloors(play, bare, play.settings))
        for (const [operation, seen] of costs) seen.push(await measure(play, server, operation, play.settings))
      }
    } finally {
      await bare.stop()
    }
    const floor = leastFloors(floors)
    return [...floorRows(floor), ...[...costs].flatMap(([operation, seen]) => costRows(operation, seen, floor))]
  },
}

async function measure(
  play: Play,
  server: Deployment,
  { workload, connections }: Operation,
  { warmupMs, measureMs }: Settings,
): Promise<Cost & LoadResult> {
  const { stage } = play
  const common = { url: server.wsUrls[0]!, identity: stage.author, connections, warmupMs, measureMs }
  return costed(stage.databaseUrl, server.processes.server!.pid, () =>
    stage.load.run(
      workload ? { job: 'commands', ...common, workload: workload(play) } : { job: 'handshakes', ...common },
    ),
  )
}

async function costed(databaseUrl: string, pid: number, run: () => Promise<LoadResult>): Promise<Cost & LoadResult> {
  const [backends, server] = [await backendsCpuMs(databaseUrl), cpuMs(pid)]
  const result = await run()
  const spent = { server: cpuMs(pid) - server, postgres: spentMs(backends, await backendsCpuMs(databaseUrl)) }
  const each = (ms: number) => (ms * 1000) / result.operations
  return { ...result, server: each(spent.server), postgres: each(spent.postgres) }
}

/** The programs of the floors. */
type Bare = { echo: Worker; statements: Worker; url: string; databaseUrl: string; stop(): Promise<void> }

async function startBare({ stage }: Play): Promise<Bare> {
  const echo = new Worker('./ceilings/echo.ts')
  const statements = new Worker('./ceilings/statements.ts')
  const databaseUrl = await stage.databases.create('floors', 'template')
  const port = await echo.ask({ bare: true } satisfies EchoTask)
  return {
    ...{ echo, statements, databaseUrl, url: `ws://127.0.0.1:${port}/ws` },
    stop: async () => {
      await Promise.all([echo.end(), statements.end()])
      await stage.databases.drop('floors')
    },
  }
}

async function measureFloors(
  { stage }: Play,
  { echo, statements, url, databaseUrl }: Bare,
  { warmupMs, measureMs }: Settings,
): Promise<Floors> {
  const statement = async (operation: StatementsTask['operation']): Promise<Cost> => {
    const sizes = { blobBytes: BLOB_BYTES, blockBytes: BLOCK_BYTES }
    const task: StatementsTask = { databaseUrl, operation, ...sizes, warmupMs, measureMs }
    const result = (await statements.ask(task)) as StatementsResult
    return {
      server: (result.cpuMs * 1000) / result.operations,
      postgres: (result.backendMs * 1000) / result.operations,
    }
  }
  const workload = ping()
  const job = { job: 'commands', url, identity: null, connections: 16, workload, warmupMs, measureMs } as const
  const before = cpuMs(echo.pid)
  const { operations } = await stage.load.run(job)
  return {
    E: ((cpuMs(echo.pid) - before) * 1000) / operations,
    K: (await statement('select')).postgres,
    I: (await statement('insert')).postgres,
    'B read': await statement('get'),
    'B write': await statement('put'),
  }
}

// Of the cheapest round: whatever else the machine does only adds, to floors as to the rest.
const least = (values: readonly number[]): number => Math.min(...values)
const leastCost = (costs: readonly Cost[]): Cost => ({
  server: least(costs.map(cost => cost.server)),
  postgres: least(costs.map(cost => cost.postgres)),
})
const leastFloors = (floors: readonly Floors[]): Floors => ({
  E: least(floors.map(floor => floor.E)),
  K: least(floors.map(floor => floor.K)),
  I: least(floors.map(floor => floor.I)),
  'B read': leastCost(floors.map(floor => floor['B read'])),
  'B write': leastCost(floors.map(floor => floor['B write'])),
})

const us = (value: number): string => `${value.toFixed(value < 100 ? 1 : 0)} µs`

function floorRows(floors: Floors): Row[] {
  const about = {
    E: 'ws echo of a small message, 16 connections',
    K: 'prepared select by key, PostgreSQL',
    I: 'insert and commit, PostgreSQL',
    'B read': 'bare client reads a block of 512 KiB',
    'B write': 'bare client writes a block of 512 KiB',
  }
  return Object.entries(floors).map(([name, floor]) => ({
    what: `  floor ${name}: ${about[name as keyof Floors]}`,
    measured: typeof floor === 'number' ? us(floor) : `${us(floor.server)} + PostgreSQL ${us(floor.postgres)}`,
    ceiling: '',
    ratio: null,
    budget: '',
    ok: null,
    details: [],
    figures: { floor },
  }))
}

function costRows(
  { what, connections, server, postgres }: Operation,
  seen: readonly (Cost & LoadResult)[],
  floors: Floors,
): Row[] {
  const cost = leastCost(seen)
  const name = `${what} @${connections}`
  const rate = median(seen.map(result => result.perSecond))
  const row = (part: keyof Cost, limit: Limit | null): Row => {
    const floor = limit && floorOf(floors, part, limit)
    const ratio = floor && cost[part] / floor
    return {
      what: `${name}, CPU of ${part === 'server' ? 'the server' : 'PostgreSQL'}`,
      measured: us(cost[part]),
      ceiling: floor ? us(floor) : '',
      ratio,
      budget: limit ? `≤ ${limit[0]} ${limit[1].slice(0, 1)}` : '0',
      ok: limit && ratio !== null ? ratio <= limit[0] : cost[part] < 1,
      details:
        part === 'server'
          ? [
              `${perSecond(rate)}, p50 ${milliseconds(median(seen.map(r => r.p50)))}, p99 ${milliseconds(median(seen.map(r => r.p99)))}`,
            ]
          : [],
      figures: { cost: cost[part], floor, ratio },
    }
  }
  return [row('server', server), row('postgres', postgres)]
}
function floorOf(floors: Floors, part: keyof Cost, [, name]: Limit): number {
  const floor = floors[name]
  return typeof floor === 'number' ? floor : floor[part]
}
