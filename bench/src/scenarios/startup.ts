/** Start of `parsec backend run --dev`: time to the first answer, and memory. */
import { setTimeout } from 'node:timers/promises'
import { residentBytes } from '../processes.ts'
import { mebibytes, milliseconds } from '../report.ts'
import { startDev } from '../server.ts'
import { median } from '../statistics.ts'
import type { Scenario } from './scenario.ts'

const BUDGET_MS = 3_000
const BUDGET_BYTES = 450 * 1024 * 1024
/** Memory is looked at right after the first answer and when the start's garbage is gone. */
const SETTLE_MS = 5_000

export const startup: Scenario = {
  name: 'startup',
  about: 'parsec backend run --dev: time to the first answer, memory',
  run: async ({ settings }) => {
    const times: number[] = []
    const atFirst: number[] = []
    const settled: number[] = []
    for (let round = 0; round < settings.rounds; round++) {
      const { server, firstAnswerMs } = await startDev()
      try {
        times.push(firstAnswerMs)
        atFirst.push(residentBytes(server.pid))
        await setTimeout(SETTLE_MS)
        settled.push(residentBytes(server.pid))
      } finally {
        await server.stop()
      }
    }
    const [ms, bytes] = [median(times), median(settled)]
    return [
      {
        what: 'start of --dev to first answer',
        measured: milliseconds(ms),
        ceiling: '',
        ratio: null,
        budget: `≤ ${milliseconds(BUDGET_MS)}`,
        ok: ms <= BUDGET_MS,
        details: [`rounds ${times.map(Math.round).join(' ')} ms`],
        figures: { times },
      },
      {
        what: `memory of --dev, ${SETTLE_MS / 1000} s later`,
        measured: mebibytes(bytes),
        ceiling: '',
        ratio: null,
        budget: `≤ ${mebibytes(BUDGET_BYTES)}`,
        ok: bytes <= BUDGET_BYTES,
        details: [`${mebibytes(median(atFirst))} at the first answer`],
        figures: { atFirst, settled },
      },
    ]
  },
}
