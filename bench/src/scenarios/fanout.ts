/** Event fan-out: one update to many subscribers on two gateways, against a single subscriber. */
import type { LoadResult } from '../meter.ts'
import { Worker } from '../processes.ts'
import { milliseconds } from '../report.ts'
import { startSplit } from '../server.ts'
import { median } from '../statistics.ts'
import type { Scenario } from './scenario.ts'

const SUBSCRIBERS = 1000
const UPDATES = 20
const UPDATES_TO_ONE = 50
/** Most times that the 99th percentile of many may be the median of one. */
const BUDGET = 10

export const fanout: Scenario = {
  name: 'fanout',
  about: `one update to ${SUBSCRIBERS} subscribers on two gateways`,
  run: async ({ stage, settings, nodeOptions }) => {
    const raw = [new Worker('./ceilings/nats-fanout.ts'), new Worker('./ceilings/nats-fanout.ts')]
    const server = await startSplit(stage.databaseUrl, stage.natsUrl, { gateways: raw.length, nodeOptions })
    try {
      const { natsUrl } = stage
      const rawUrls = await Promise.all(raw.map(async worker => `ws://127.0.0.1:${await worker.ask({ natsUrl })}/ws`))
      const parts = { author: stage.author, listener: stage.listener, vlob: stage.vlobs[0]! }
      const tell = (subscribers: number, updates: number) =>
        stage.load.run({ job: 'fanout', urls: server.wsUrls, parts, subscribers, updates })
      const tellRaw = () =>
        stage.load.run({ job: 'fanout', urls: rawUrls, parts: null, subscribers: SUBSCRIBERS, updates: UPDATES })
      await tell(1, UPDATES_TO_ONE)
      await tell(SUBSCRIBERS, UPDATES)
      await tellRaw()
      const one: LoadResult[] = []
      const many: LoadResult[] = []
      const bare: LoadResult[] = []
      for (let round = 0; round < settings.rounds; round++) {
        one.push(await tell(1, UPDATES_TO_ONE))
        many.push(await tell(SUBSCRIBERS, UPDATES))
        bare.push(await tellRaw())
      }
      const p50 = (results: readonly LoadResult[]) => median(results.map(result => result.p50))
      const p99 = (results: readonly LoadResult[]) => median(results.map(result => result.p99))
      const ratio = p99(many) / p50(one)
      return [
        {
          what: `event to ${SUBSCRIBERS} subscribers, 2 gateways (p99)`,
          measured: milliseconds(p99(many)),
          ceiling: `${milliseconds(p50(one))} (p50 of one)`,
          ratio,
          budget: `≤ ${BUDGET}`,
          ok: ratio <= BUDGET,
          details: [
            `p50 ${milliseconds(p50(many))}; ${settings.rounds * UPDATES} updates, each reached all ${SUBSCRIBERS} exactly once`,
            `raw ws → NATS → 2 × ${SUBSCRIBERS / 2} ws: p50 ${milliseconds(p50(bare))}, p99 ${milliseconds(p99(bare))}`,
          ],
          figures: { one, many, bare, ratio },
        },
      ]
    } finally {
      await Promise.all([server.stop(), ...raw.map(worker => worker.end())])
    }
  },
}
