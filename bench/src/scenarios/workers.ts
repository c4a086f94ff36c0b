/** What a second worker costs: processor time of the whole server for an operation, with as many clients for each worker. */
import { children, cpuMs, freePort } from '../processes.ts'
import { milliseconds, perSecond, type Row } from '../report.ts'
import { type Deployment, startOneProcess } from '../server.ts'
import { median } from '../statistics.ts'
import type { Workload } from '../workload.ts'
import type { Play, Scenario } from './scenario.ts'

const CLIENTS_OF_A_WORKER = 16
const BUDGET = 1.1
type Cost = { cpu: number; perSecond: number; p50: number; p99: number }

export const workers: Scenario = {
  name: 'workers',
  about: 'processor time of a server of two workers for each operation, against one process',
  run: async play => {
    const { vlobs, databaseUrl } = play.stage
    const workloads: { [what: string]: Workload } = {
      ping: { type: 'ping', text: 'x'.repeat(20) },
      vlob_read: { type: 'vlob_read', vlobs },
    }
    const rows: Row[] = []
    for (const [what, workload] of Object.entries(workloads)) {
      const [alone, shared]: [Cost[], Cost[]] = [[], []]
      for (let round = 0; round < play.settings.rounds; round++)
        for (const [count, costs] of [
          [1, alone],
          [2, shared],
        ] as const) {
          const monitorPort = await freePort()
          const server = await startOneProcess(databaseUrl, {
            options: [`--workers=${count}`, `--monitor-port=${monitorPort}`],
          })
          try {
            await allServe(monitorPort)
            costs.push(await measure(play, server, workload, count))
          } finally {
            await server.stop()
          }
        }
      rows.push(rowOf(what, alone, shared))
    }
    return rows
  },
}

async function measure(play: Play, server: Deployment, workload: Workload, workers: number): Promise<Cost> {
  const { warmupMs, measureMs } = play.settings
  const root = server.processes.server!.pid
  const all = [root, ...children(root)]
  const spent = () => all.reduce((sum, pid) => sum + cpuMs(pid), 0)
  const job = {
    job: 'commands',
    url: server.wsUrls[0]!,
    identity: play.stage.author,
    connections: CLIENTS_OF_A_WORKER * workers,
    workload,
    measureMs,
  } as const
  // So that what is measured is compiled in each of them.
  await play.stage.load.run({ ...job, warmupMs: 0, measureMs: warmupMs * 2 })
  const before = spent()
  const result = await play.stage.load.run({ ...job, warmupMs })
  return { ...result, cpu: ((spent() - before) * 1000) / result.operations }
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

function rowOf(what: string, alone: readonly Cost[], shared: readonly Cost[]): Row {
  const of = (costs: readonly Cost[], key: keyof Cost) => median(costs.map(cost => cost[key]))
  // Of the best round: a machine that does other things makes batches smaller, and so each operation dearer.
  const cpu = (costs: readonly Cost[]) => Math.min(...costs.map(cost => cost.cpu))
  const ratio = cpu(shared) / cpu(alone)
  const told = (costs: readonly Cost[]) =>
    `${perSecond(of(costs, 'perSecond'))}, p50 ${milliseconds(of(costs, 'p50'))}, p99 ${milliseconds(of(costs, 'p99'))}`
  return {
    what: `${what} with two workers`,
    measured: `${cpu(shared).toFixed(1)} µs`,
    ceiling: `${cpu(alone).toFixed(1)} µs in one process`,
    ratio,
    budget: `≤ ${BUDGET}`,
    ok: ratio <= BUDGET,
    details: [`one process ${told(alone)}; two workers ${told(shared)}`],
    figures: { alone, shared, ratio },
  }
}
