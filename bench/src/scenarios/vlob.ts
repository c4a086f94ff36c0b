/** Vlobs: each connection reads or updates a vlob of its own, in a realm of its own. */
import { runPgbench } from '../pgbench.ts'
import type { Row } from '../report.ts'
import { type Costed, compare, rateRow, withCost } from '../rounds.ts'
import type { Deployment } from '../server.ts'
import { BLOB_BYTES } from '../stage.ts'
import { scanRow } from './ping.ts'
import { type Play, SCAN, type Scenario } from './scenario.ts'

type Command = 'vlob_update' | 'vlob_read'

export const vlobUpdate: Scenario = {
  name: 'vlob_update',
  about: 'vlob_update, against pgbench with an insert for each',
  run: play => both(play, 'vlob_update', 0.6),
}
export const vlobRead: Scenario = {
  name: 'vlob_read',
  about: 'vlob_read, against pgbench with a select by key for each',
  run: play => both(play, 'vlob_read', 0.7),
}

async function both(play: Play, command: Command, budget: number): Promise<Row[]> {
  const rows: Row[] = []
  for (const topology of ['one process', 'NATS']) {
    const server = await (topology === 'NATS' ? play.split() : play.oneProcess())
    const { rounds, connections, measureMs } = play.settings
    const compared = await compare({
      rounds,
      measure: () => load(play, server, command, connections),
      ceiling: () => pgbench(play, command, connections, measureMs / 1000),
    })
    rows.push(rateRow(`${command}, ${topology}`, compared, budget))
    if (topology === 'one process')
      for (const clients of SCAN)
        rows.push(scanRow(`${command}, ${topology}`, clients, await load(play, server, command, clients)))
  }
  return rows
}

const load = ({ stage, settings }: Play, server: Deployment, command: Command, connections: number): Promise<Costed> =>
  withCost(server.processes, () =>
    stage.load.run({
      job: 'commands',
      url: server.wsUrls[0]!,
      identity: stage.author,
      connections,
      workload: { type: command, vlobs: stage.vlobs, blobBytes: BLOB_BYTES },
      warmupMs: settings.warmupMs,
      measureMs: settings.measureMs,
    }),
  )

/** On a copy of the database, which it may fill. */
async function pgbench(
  { stage }: Play,
  command: Command,
  clients: number,
  seconds: number,
): Promise<{ perSecond: number }> {
  const url = await stage.databases.create('ceiling', 'template')
  try {
    return await runPgbench(url, stage.scripts[command], clients, seconds)
  } finally {
    await stage.databases.drop('ceiling')
  }
}
