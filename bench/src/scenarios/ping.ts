/** Pings: what a message costs when the database has no part in it. */
import { PING_TEXT } from '../ceilings/nats-echo.ts'
import type { LoadResult } from '../meter.ts'
import { Worker } from '../processes.ts'
import { milliseconds, perSecond, type Row } from '../report.ts'
import { compare, rateRow, withCost } from '../rounds.ts'
import type { Deployment } from '../server.ts'
import { type Play, SCAN, type Scenario } from './scenario.ts'

export const ping: Scenario = {
  name: 'ping',
  about: 'ping in one process, against a raw echo',
  run: async play => {
    const echo = new Worker('./ceilings/echo.ts')
    try {
      const url = `ws://127.0.0.1:${await echo.ask({})}/ws`
      const server = await play.oneProcess()
      const compared = await compare({
        rounds: play.settings.rounds,
        measure: () => pings(play, server, play.settings.connections),
        ceiling: () => withCost({ echo }, () => load(play, url, null, play.settings.connections)),
      })
      return [rateRow('ping, one process', compared, 0.6), ...(await scan('ping, one process', play, server))]
    } finally {
      await echo.end()
    }
  },
}

export const pingNats: Scenario = {
  name: 'ping_nats',
  about: 'ping through gateway, NATS and metadata, against a raw echo over NATS',
  run: async play => {
    const processes = {
      gateway: new Worker('./ceilings/nats-gateway.ts'),
      service: new Worker('./ceilings/nats-service.ts'),
    }
    try {
      const { natsUrl } = play.stage
      await processes.service.ask({ natsUrl })
      const url = `ws://127.0.0.1:${await processes.gateway.ask({ natsUrl })}/ws`
      const server = await play.split()
      const compared = await compare({
        rounds: play.settings.rounds,
        measure: () => pings(play, server, play.settings.connections),
        ceiling: () => withCost(processes, () => load(play, url, null, play.settings.connections)),
      })
      return [rateRow('ping, NATS', compared, 0.7), ...(await scan('ping, NATS', play, server))]
    } finally {
      await Promise.all(Object.values(processes).map(process => process.end()))
    }
  },
}

const pings = (play: Play, server: Deployment, connections: number) =>
  withCost(server.processes, () => load(play, server.wsUrls[0]!, play.stage.author, connections))

const load = (
  play: Play,
  url: string,
  identity: Play['stage']['author'] | null,
  connections: number,
): Promise<LoadResult> =>
  play.stage.load.run({
    job: 'commands',
    url,
    identity,
    connections,
    workload: { type: 'ping', text: PING_TEXT },
    warmupMs: play.settings.warmupMs,
    measureMs: play.settings.measureMs,
  })

async function scan(what: string, play: Play, server: Deployment): Promise<Row[]> {
  const rows: Row[] = []
  for (const connections of SCAN) rows.push(scanRow(what, connections, await pings(play, server, connections)))
  return rows
}

/** A row without ceiling: how the rate and the latency change with the number of connections. */
export const scanRow = (what: string, connections: number, result: LoadResult): Row => ({
  what: `  ${what}, ${connections} connection${connections === 1 ? '' : 's'}`,
  measured: `${perSecond(result.perSecond)}, p50 ${milliseconds(result.p50)}, p99 ${milliseconds(result.p99)}`,
  ceiling: '',
  ratio: null,
  budget: '',
  ok: null,
  details: [],
  figures: { connections, ...result },
})
