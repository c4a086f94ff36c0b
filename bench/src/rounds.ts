/** Measurements beside their ceiling, in turns: the machine is shared, and its speed changes from second to second. */
import type { LoadResult } from './meter.ts'
import { cpuMs } from './processes.ts'
import { milliseconds, perSecond, type Row } from './report.ts'
import { median } from './statistics.ts'

export type Rate = { perSecond: number }
type Rounds<M extends Rate, C extends Rate> = { rounds: number; measure: () => Promise<M>; ceiling: () => Promise<C> }
export type Compared<M extends Rate, C extends Rate> = { measured: M[]; ceilings: C[]; ratio: number }

/**
 * Ceiling, measurement, ceiling, measurement, … ceiling. The ratio is the median of those to the two neighbours.
 * One of each goes first and is not counted: code that is not compiled yet is several times slower.
 */
export async function compare<M extends Rate, C extends Rate>({
  rounds,
  measure,
  ceiling,
}: Rounds<M, C>): Promise<Compared<M, C>> {
  await ceiling()
  await measure()
  const ceilings = [await ceiling()]
  const measured: M[] = []
  for (let round = 0; round < rounds; round++) {
    measured.push(await measure())
    ceilings.push(await ceiling())
  }
  const ratios = measured.map(
    ({ perSecond }, i) => (2 * perSecond) / (ceilings[i]!.perSecond + ceilings[i + 1]!.perSecond),
  )
  return { measured, ceilings, ratio: median(ratios) }
}

export type Costed = LoadResult & { cpuUs: { [process: string]: number } }

/** Adds what each process spent, in microseconds of processor time per operation. */
export async function withCost(
  processes: { readonly [name: string]: { pid: number } },
  run: () => Promise<LoadResult>,
): Promise<Costed> {
  const before = Object.entries(processes).map(([name, { pid }]) => ({ name, pid, ms: cpuMs(pid) }))
  const result = await run()
  const perOperation = (ms: number) => Math.round((ms * 1000) / result.operations)
  const spent = before.map(({ name, pid, ms }) => [name, perOperation(cpuMs(pid) - ms)])
  return { ...result, cpuUs: { load: perOperation(result.cpuMs), ...Object.fromEntries(spent) } }
}

/** The row of a rate that should reach `budget` (a share) of its ceiling. */
export function rateRow(
  what: string,
  { measured, ceilings, ratio }: Compared<Costed, Rate & Partial<Costed>>,
  budget: number,
): Row {
  const [rates, tops] = [measured.map(m => m.perSecond), ceilings.map(c => c.perSecond)]
  const newest = measured.at(-1)!
  return {
    what,
    measured: perSecond(median(rates)),
    ceiling: perSecond(median(tops)),
    ratio,
    budget: `≥ ${budget}`,
    ok: ratio >= budget,
    details: [
      `p50 ${milliseconds(median(measured.map(m => m.p50)))}, p99 ${milliseconds(median(measured.map(m => m.p99)))}; CPU µs each: ${costs(newest)}`,
      `ceiling: ${ceilings.at(-1)!.cpuUs ? `CPU µs each: ${costs(ceilings.at(-1)!)}; ` : ''}rounds ${tops.map(Math.round).join(' ')}; measured ${rates.map(Math.round).join(' ')}`,
    ],
    figures: { measured, ceilings, ratio, budget },
  }
}

const costs = ({ cpuUs = {} }: Partial<Costed>): string =>
  Object.entries(cpuUs)
    .map(([name, us]) => `${name} ${us}`)
    .join(', ')
