/** Event fan-out: one update to many subscribers on two gateways, against a single subscriber. */
import { milliseconds } from '../report.ts'
import { startSplit } from '../server.ts'
import { median } from '../statistics.ts'
import type { Scenario } from './scenario.ts'

const SUBSCRIBERS = 1000
const UPDATES = 20
const UPDATES_TO_ONE = 200
/** Most times that the 99th percentile of many may be the median of one. */
const BUDGET = 10

export const fanout: Scenario = {
  name: 'fanout',
  about: `one update to ${SUBSCRIBERS} subscribers on two gateways`,
  run: async ({ stage, settings }) => {
    const server = await startSplit(stage.databaseUrl, stage.backing.natsUrl, { gateways: 2 })
    try {
      const { author, listener, load } = stage
      const tell = (subscribers: number, updates: number) =>
        load.run({ job: 'fanout', urls: server.wsUrls, author, listener, vlob: stage.vlobs[0]!, subscribers, updates })
      await tell(1, UPDATES_TO_ONE)
      const one = []
      const many = []
      for (let round = 0; round < settings.rounds; round++) {
        one.push(await tell(1, UPDATES_TO_ONE))
        many.push(await tell(SUBSCRIBERS, UPDATES))
      }
      const [single, p50, p99] = [
        median(one.map(r => r.p50)),
        median(many.map(r => r.p50)),
        median(many.map(r => r.p99)),
      ]
      const ratio = p99 / single
      return [
        {
          what: `event to ${SUBSCRIBERS} subscribers, 2 gateways (p99)`,
          measured: milliseconds(p99),
          ceiling: `${milliseconds(single)} (p50 of one)`,
          ratio,
          budget: `≤ ${BUDGET}`,
          ok: ratio <= BUDGET,
          details: [
            `p50 ${milliseconds(p50)}; ${settings.rounds * UPDATES} updates, each reached all ${SUBSCRIBERS} exactly once`,
          ],
          figures: { one, many, ratio },
        },
      ]
    } finally {
      await server.stop()
    }
  },
}
