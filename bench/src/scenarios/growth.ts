/** Every command in a database of 1, 10 and 100 times the size, of which it answers with the same. */
import { GrowthWorld } from '../growth-world.ts'
import type { Row } from '../report.ts'
import { migrate, startOneProcess } from '../server.ts'
import { median } from '../statistics.ts'
import type { Play, Scenario } from './scenario.ts'

/** Users; 10 times as many realms, 5 times as many vlobs, versions and blocks. */
const UNITS = [20, 200, 2_000]
const WARM_UP = 30
const TIMES = 150
const BUDGET = 1.5

export const growth: Scenario = {
  name: 'growth',
  about: 'every command, with 1, 10 and 100 times the data that it does not answer with',
  run,
}

async function run({ stage: { databases } }: Play): Promise<Row[]> {
  const databaseUrl = await databases.create('growth')
  await migrate(databaseUrl)
  const server = await startOneProcess(databaseUrl)
  try {
    const world = await GrowthWorld.create(databaseUrl, server)
    const measured = new Map<string, number[]>()
    for (const units of UNITS) {
      await world.grow(units)
      for (const [name, command] of Object.entries(await world.commands()))
        measured.set(name, [...(measured.get(name) ?? []), await microseconds(command)])
    }
    world.close()
    return [...measured].map(([name, medians]) => rowOf(name, medians))
  } finally {
    await server.stop()
    await databases.drop('growth')
  }
}

/** Median of one after another. */
async function microseconds(command: () => Promise<unknown>): Promise<number> {
  for (let n = 0; n < WARM_UP; n++) await command()
  const times: number[] = []
  for (let n = 0; n < TIMES; n++) {
    const startedAt = performance.now()
    await command()
    times.push((performance.now() - startedAt) * 1000)
  }
  return median(times)
}

function rowOf(name: string, medians: readonly number[]): Row {
  const [at1, , at100] = medians as [number, number, number]
  const ratio = at100 / at1
  return {
    what: `growth: ${name}`,
    measured: `${at100.toFixed(0)} µs at 100×`,
    ceiling: `${at1.toFixed(0)} µs at 1×`,
    ratio,
    budget: `≤ ${BUDGET}`,
    ok: ratio <= BUDGET,
    details: [`p50 at ${UNITS.join(', ')}: ${medians.map(us => `${us.toFixed(0)} µs`).join(', ')}`],
    figures: { units: UNITS, medians },
  }
}
