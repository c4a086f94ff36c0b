/** Every command in a database of 1, 10 and 100 times the size, of which it answers with the same. */
import { backendsCpuMs, spentMs, threadsMs } from '../backends.ts'
import { GrowthWorld } from '../growth-world.ts'
import type { Row } from '../report.ts'
import { migrate, startOneProcess } from '../server.ts'
import type { Play, Scenario } from './scenario.ts'

/** Users; 10 times as many realms, 5 times as many vlobs, versions and blocks. */
const UNITS = [20, 200, 2_000]
const WARM_UP = 30
const ROUNDS = 6
const TIMES = 30
const BUDGET = 1.5

export const growth: Scenario = {
  name: 'growth',
  about: 'processor time of every command, with 1, 10 and 100 times the data that it does not answer with',
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
        measured.set(name, [
          ...(measured.get(name) ?? []),
          await microseconds(databaseUrl, server.processes.server!.pid, command),
        ])
    }
    world.close()
    return [...measured].map(([name, costs]) => rowOf(name, costs))
  } finally {
    await server.stop()
    await databases.drop('growth')
  }
}

/**
 * Processor time of server and PostgreSQL for one of several that follow one another, in the best of some rounds: how long
 * it takes says more about what else the machine does.
 */
async function microseconds(databaseUrl: string, pid: number, command: () => Promise<unknown>): Promise<number> {
  for (let n = 0; n < WARM_UP; n++) await command()
  const rounds: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const [backends, server] = [await backendsCpuMs(databaseUrl), threadsMs(pid)]
    for (let n = 0; n < TIMES; n++) await command()
    const spent = threadsMs(pid) - server + spentMs(backends, await backendsCpuMs(databaseUrl))
    rounds.push((spent * 1000) / TIMES)
  }
  return Math.min(...rounds)
}

function rowOf(name: string, costs: readonly number[]): Row {
  const [at1, , at100] = costs as [number, number, number]
  const ratio = at100 / at1
  return {
    what: `growth: ${name}`,
    measured: `${at100.toFixed(0)} µs at 100×`,
    ceiling: `${at1.toFixed(0)} µs at 1×`,
    ratio,
    budget: `≤ ${BUDGET}`,
    ok: ratio <= BUDGET,
    details: [`at ${UNITS.join(', ')}: ${costs.map(us => `${us.toFixed(0)} µs`).join(', ')}`],
    figures: { units: UNITS, costs },
  }
}
