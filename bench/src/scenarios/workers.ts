/**
 * What a second worker costs: processor time of the whole server for an operation, with as many clients for each worker. A
 * `ws` echo of one and of two processes says what of that is the machine's: where load and workers share two cores, whoever
 * waits for a core finds less to do at once, and each wake serves fewer.
 */
import type { EchoTask } from '../ceilings/echo.ts'
import { children, cpuMs, freePort, Worker } from '../processes.ts'
import { milliseconds, perSecond, type Row } from '../report.ts'
import { startOneProcess } from '../server.ts'
import { median } from '../statistics.ts'
import type { Workload } from '../workload.ts'
import type { Play, Scenario } from './scenario.ts'

const CLIENTS_OF_A_WORKER = 16
const BUDGET = 1.1
const COUNTS = [1, 2] as const
type Cost = { cpu: number; perSecond: number; p50: number; p99: number }
/** A server of so many processes, and who its clients are. */
type Measured = {
  url: string
  pids: readonly number[]
  identity: Play['stage']['author'] | null
  stop(): Promise<unknown>
}
/** Of one process, and of two. */
type Costs = readonly [alone: Cost[], shared: Cost[]]

export const workers: Scenario = {
  name: 'workers',
  about: 'processor time of a server of two workers for each operation, against one process',
  run: async play => {
    const { vlobs } = play.stage
    const ping: Workload = { type: 'ping', text: 'x'.repeat(20) }
    const [echoes, pings, reads]: [Costs, Costs, Costs] = [
      [[], []],
      [[], []],
      [[], []],
    ]
    for (let round = 0; round < play.settings.rounds; round++)
      for (const [index, count] of COUNTS.entries()) {
        echoes[index]!.push(await measure(play, await startEchoes(count), ping, count))
        for (const [costs, workload] of [
          [pings, ping],
          [reads, { type: 'vlob_read', vlobs }],
        ] as const)
          costs[index]!.push(await measure(play, await startServer(play, count), workload, count))
      }
    const floor = ratioOf(echoes)
    return [
      rowOf('floor: ws echo of two processes', echoes, null),
      rowOf('ping with two workers', pings, floor),
      rowOf('vlob_read with two workers', reads, floor),
    ]
  },
}

async function startEchoes(count: number): Promise<Measured> {
  const port = await freePort()
  const echoes = Array.from({ length: count }, () => new Worker('./ceilings/echo.ts'))
  await Promise.all(echoes.map(echo => echo.ask({ bare: true, port } satisfies EchoTask)))
  return {
    url: `ws://127.0.0.1:${port}/ws`,
    pids: echoes.map(echo => echo.pid),
    identity: null,
    stop: () => Promise.all(echoes.map(echo => echo.end())),
  }
}

async function startServer({ stage }: Play, count: number): Promise<Measured> {
  const monitorPort = await freePort()
  const server = await startOneProcess(stage.databaseUrl, {
    options: [`--workers=${count}`, `--monitor-port=${monitorPort}`],
  })
  await allServe(monitorPort)
  const root = server.processes.server!.pid
  const pids = [root, ...children(root)]
  return { url: server.wsUrls[0]!, pids, identity: stage.author, stop: () => server.stop() }
}

async function measure(
  play: Play,
  { url, pids, identity, stop }: Measured,
  workload: Workload,
  count: number,
): Promise<Cost> {
  const { warmupMs, measureMs } = play.settings
  const spent = () => pids.reduce((sum, pid) => sum + cpuMs(pid), 0)
  const job = {
    job: 'commands',
    url,
    identity,
    connections: CLIENTS_OF_A_WORKER * count,
    workload,
    measureMs,
  } as const
  try {
    // So that what is measured is compiled in each of them.
    await play.stage.load.run({ ...job, warmupMs: 0, measureMs: warmupMs * 2 })
    const before = spent()
    const result = await play.stage.load.run({ ...job, warmupMs })
    return { ...result, cpu: ((spent() - before) * 1000) / result.operations }
  } finally {
    await stop()
  }
}
/** The port is open as soon as the first worker serves. */
async function allServe(monitorPort: number): Promise<void> {
  for (;;) {
    const reply = await fetch(`http://127.0.0.1:${monitorPort}/readyz`)
    const { detail } = (await reply.json()) as { detail: { [key: string]: string } }
    if (reply.ok && !Object.keys(detail).some(key => key.endsWith('process'))) return
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

// Of the best round: a machine that does other things makes batches smaller, and so each operation dearer.
const cpuOf = (costs: readonly Cost[]): number => Math.min(...costs.map(cost => cost.cpu))
const ratioOf = ([alone, shared]: Costs): number => cpuOf(shared) / cpuOf(alone)

/** `floor`: the ratio that an echo reaches; null for its own row. */
function rowOf(what: string, costs: Costs, floor: number | null): Row {
  const [alone, shared] = costs
  const of = (costs: readonly Cost[], key: keyof Cost) => median(costs.map(cost => cost[key]))
  const ratio = ratioOf(costs)
  const told = (costs: readonly Cost[]) =>
    `${perSecond(of(costs, 'perSecond'))}, p50 ${milliseconds(of(costs, 'p50'))}, p99 ${milliseconds(of(costs, 'p99'))}`
  return {
    what,
    measured: `${cpuOf(shared).toFixed(1)} µs`,
    ceiling: `${cpuOf(alone).toFixed(1)} µs in one process`,
    ratio,
    budget: floor === null ? '' : `≤ ${BUDGET} × ${floor.toFixed(2)}`,
    ok: floor === null ? null : ratio <= BUDGET * floor,
    details: [`one process ${told(alone)}; two ${told(shared)}`],
    figures: { alone, shared, ratio },
  }
}
