/** Blocks of 512 KiB in the POSTGRESQL store, against bare `pg` with the same bytes and as many connections. */
import type { BlocksTask } from '../ceilings/blocks.ts'
import type { LoadResult } from '../meter.ts'
import { Worker } from '../processes.ts'
import type { Row } from '../report.ts'
import { type Costed, compare, rateRow, withCost } from '../rounds.ts'
import { DATABASE_CONNECTIONS } from '../server.ts'
import { BLOCK_BYTES } from '../stage.ts'
import type { Workload } from '../workload.ts'
import type { Play, Scenario } from './scenario.ts'

const BUDGET = 0.85

export const block: Scenario = {
  name: 'block',
  about: 'block_create and block_read of 512 KiB, against the bare store',
  run: async play => {
    const rows: Row[] = []
    for (const [name, operation] of [
      ['block_create', 'put'],
      ['block_read', 'get'],
    ] as const) {
      for (const topology of ['one process', 'NATS']) {
        const server = await (topology === 'NATS' ? play.split() : play.oneProcess())
        const compared = await compare({
          rounds: play.settings.rounds,
          measure: () => withCost(server.processes, () => load(play, server.wsUrls[0]!, name)),
          ceiling: () => bare(play, operation),
        })
        rows.push(rateRow(`${name} 512 KiB, ${topology}`, compared, BUDGET))
      }
    }
    return rows
  },
}

function load({ stage, settings }: Play, url: string, command: 'block_create' | 'block_read'): Promise<LoadResult> {
  const workload: Workload =
    command === 'block_create'
      ? { type: command, realms: stage.realms, blockBytes: BLOCK_BYTES }
      : { type: command, blocks: stage.blocks }
  const { connections, warmupMs, measureMs } = settings
  return stage.load.run({ job: 'commands', url, identity: stage.author, connections, workload, warmupMs, measureMs })
}

async function bare({ stage, settings }: Play, operation: 'put' | 'get'): Promise<Costed> {
  const worker = new Worker('./ceilings/blocks.ts')
  const databaseUrl = await stage.databases.create('ceiling', 'template')
  try {
    const task: BlocksTask = {
      databaseUrl,
      operation,
      concurrency: settings.connections,
      connections: DATABASE_CONNECTIONS,
      blockBytes: BLOCK_BYTES,
      warmupMs: settings.warmupMs,
      measureMs: settings.measureMs,
    }
    const result = (await worker.ask(task)) as LoadResult
    return { ...result, cpuUs: { bare: Math.round((result.cpuMs * 1000) / result.operations) } }
  } finally {
    await worker.end()
    await stage.databases.drop('ceiling')
  }
}
