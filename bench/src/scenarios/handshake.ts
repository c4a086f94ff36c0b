/** Handshakes: open, challenge, answer, result. */
import { Worker } from '../processes.ts'
import { compare, rateRow, withCost } from '../rounds.ts'
import { DATABASE_CONNECTIONS, type Deployment } from '../server.ts'
import type { Play, Scenario } from './scenario.ts'

const BUDGET = 0.5

export const handshake: Scenario = {
  name: 'handshake',
  about: 'handshakes, against a raw connect with one select and one verification',
  run: async play => {
    const raw = new Worker('./ceilings/handshake.ts')
    try {
      const port = await raw.ask({ databaseUrl: play.stage.databaseUrl, connections: DATABASE_CONNECTIONS })
      const url = `ws://127.0.0.1:${port}/ws`
      const against = (server: Deployment) =>
        compare({
          rounds: play.settings.rounds,
          measure: () => withCost(server.processes, () => load(play, server.wsUrls[0]!)),
          ceiling: () => withCost({ raw }, () => load(play, url)),
        })
      return [
        rateRow('handshake, one process', await against(await play.oneProcess()), BUDGET),
        rateRow('handshake, NATS', await against(await play.split()), BUDGET),
      ]
    } finally {
      await raw.end()
    }
  },
}

const load = ({ stage, settings }: Play, url: string) =>
  stage.load.run({
    job: 'handshakes',
    url,
    identity: stage.author,
    connections: settings.connections,
    warmupMs: settings.warmupMs,
    measureMs: settings.measureMs,
  })
