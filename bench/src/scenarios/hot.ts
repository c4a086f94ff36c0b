/** Many writers in one realm, against as many in realms of their own; and what a read elsewhere feels of the former. */

import { randomBytes } from 'node:crypto'
import { Uuid } from '@parsec/shared/codec/values'
import { connect, signingKeyOf } from '../client.ts'
import { createVlob } from '../identity.ts'
import type { LoadResult } from '../meter.ts'
import { LoadProcess } from '../processes.ts'
import { milliseconds, perSecond, type Row } from '../report.ts'
import { BLOB_BYTES } from '../stage.ts'
import { median } from '../statistics.ts'
import type { Workload } from '../workload.ts'
import type { Play, Scenario } from './scenario.ts'

const WRITERS = 64
/** Least share of the rate in many realms; most times of the quiet median. */
const RATE_BUDGET = 0.8
const READ_BUDGET = 3

export const hot: Scenario = {
  name: 'hot',
  about: `${WRITERS} writers in one realm, against ${WRITERS} realms, and a read elsewhere meanwhile`,
  run: async (play): Promise<Row[]> => {
    const { stage, settings } = play
    const server = await play.oneProcess()
    const url = server.wsUrls[0]!
    const [realm] = stage.realms
    const crowded = await vlobsIn(url, play, realm!)
    const reader = new LoadProcess()
    try {
      const { warmupMs, measureMs } = settings
      const common = { job: 'commands', url, identity: stage.author, warmupMs, measureMs } as const
      const write = (vlobs: readonly string[]): Promise<LoadResult> => {
        const workload: Workload = { type: 'vlob_update', vlobs, blobBytes: BLOB_BYTES }
        return stage.load.run({ ...common, connections: WRITERS, workload })
      }
      const read = (): Promise<LoadResult> =>
        reader.run({ ...common, connections: 1, workload: { type: 'vlob_read', vlobs: stage.vlobs.slice(-1) } })
      await Promise.all([write(stage.vlobs), read()])
      const seen: { spread: LoadResult; one: LoadResult; quiet: LoadResult; beside: LoadResult }[] = []
      for (let round = 0; round < settings.rounds; round++) {
        const spread = await write(stage.vlobs)
        const one = await write(crowded)
        const quiet = await read()
        const [, beside] = await Promise.all([write(crowded), read()])
        seen.push({ spread, one, quiet, beside })
      }
      const rate = (of: 'spread' | 'one') => median(seen.map(results => results[of].perSecond))
      const p50 = (of: 'quiet' | 'beside') => median(seen.map(results => results[of].p50))
      const [rates, reads] = [rate('one') / rate('spread'), p50('beside') / p50('quiet')]
      return [
        {
          what: `vlob_update, ${WRITERS} writers in one realm`,
          measured: perSecond(rate('one')),
          ceiling: perSecond(rate('spread')),
          ratio: rates,
          budget: `≥ ${RATE_BUDGET}`,
          ok: rates >= RATE_BUDGET,
          details: [`p99 ${milliseconds(median(seen.map(results => results.one.p99)))}`],
          figures: { seen },
        },
        {
          what: '  a read in another realm meanwhile (p50)',
          measured: milliseconds(p50('beside')),
          ceiling: milliseconds(p50('quiet')),
          ratio: reads,
          budget: `≤ ${READ_BUDGET}`,
          ok: reads <= READ_BUDGET,
          details: [`p99 ${milliseconds(median(seen.map(results => results.beside.p99)))}`],
          figures: {},
        },
      ]
    } finally {
      await reader.end()
    }
  },
}

/** New vlobs, as many as writers. */
async function vlobsIn(url: string, { stage }: Play, realm: string): Promise<string[]> {
  const wire = await connect(url, stage.author, signingKeyOf(stage.author))
  const vlobs: string[] = []
  for (let n = 0; n < WRITERS; n++) {
    const vlob = await createVlob(wire, Uuid.parse(realm)!, randomBytes(BLOB_BYTES))
    vlobs.push(vlob.hex)
  }
  wire.close()
  return vlobs
}
