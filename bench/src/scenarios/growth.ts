/**
 * Every command in databases of 1, 10 and 100 times the size, of which it answers with the same. A server for each, and
 * they take turns, so that whatever else the machine does meets all alike.
 */
import { backendsCpuMs, spentMs, threadsMs } from '../backends.ts'
import { type DatabaseWork, workEach } from '../database-work.ts'
import { GrowthWorld } from '../growth-world.ts'
import type { Row } from '../report.ts'
import { type Deployment, migrate, startOneProcess } from '../server.ts'
import type { Play, Scenario } from './scenario.ts'

/** Users; 10 times as many realms, 5 times as many vlobs, versions and blocks. */
const UNITS = [20, 200, 2_000]
const WARM_UP = 20
const ROUNDS = 12
/** … while one seems to grow: the cheapest of more rounds is nearer to what it costs. */
const MOST_ROUNDS = 60
const TIMES = 15
/** Of those whose rows and blocks are counted. */
const COUNTED = 5
const BUDGET = 1.5

export const growth: Scenario = {
  name: 'growth',
  about: 'processor time of every command, with 1, 10 and 100 times the data that it does not answer with',
  run,
}

type Place = { databaseUrl: string; server: Deployment; commands: Awaited<ReturnType<GrowthWorld['commands']>> }
type Cost = DatabaseWork & { us: number }

async function run({ stage: { databases } }: Play): Promise<Row[]> {
  const places: Place[] = []
  const close: (() => unknown)[] = []
  try {
    for (const units of UNITS) {
      const name = `growth${units}`
      const databaseUrl = await databases.create(name)
      close.unshift(() => databases.drop(name))
      await migrate(databaseUrl)
      const server = await startOneProcess(databaseUrl)
      close.unshift(() => server.stop())
      const world = await GrowthWorld.create(databaseUrl, server)
      close.unshift(() => world.close())
      await world.grow(units)
      places.push({ databaseUrl, server, commands: await world.commands() })
    }
    const rows: Row[] = []
    for (const name of Object.keys(places[0]!.commands)) rows.push(rowOf(name, await costs(places, name)))
    return rows
  } finally {
    for (const one of close) await one()
  }
}

/** In each place, of the cheapest round: how long it takes says more about what else the machine does. */
async function costs(places: readonly Place[], name: string): Promise<Cost[]> {
  const times = async ({ commands }: Place, count: number) => {
    for (let n = 0; n < count; n++) await commands[name]!()
  }
  for (const place of places) await times(place, WARM_UP)
  const seen = places.map(() => Number.POSITIVE_INFINITY)
  const seemsToGrow = () => seen.at(-1)! > seen[0]! * BUDGET
  for (let round = 0; round < ROUNDS || (round < MOST_ROUNDS && seemsToGrow()); round++)
    for (const [i, place] of places.entries())
      seen[i] = Math.min(seen[i]!, await microseconds(place, () => times(place, TIMES)))
  const all: Cost[] = []
  for (const [i, place] of places.entries())
    all.push({ us: seen[i]!, ...(await workEach(place.databaseUrl, COUNTED, () => times(place, 1))) })
  return all
}

/** Processor time of server and PostgreSQL, each. */
async function microseconds({ databaseUrl, server }: Place, run: () => Promise<unknown>): Promise<number> {
  const { pid } = server.processes.server!
  const [backends, before] = [await backendsCpuMs(databaseUrl), threadsMs(pid)]
  await run()
  return ((threadsMs(pid) - before + spentMs(backends, await backendsCpuMs(databaseUrl))) * 1000) / TIMES
}

function rowOf(name: string, costs: readonly Cost[]): Row {
  const [at1, at100] = [costs[0]!, costs.at(-1)!]
  const ratio = at100.us / at1.us
  const all = (what: (cost: Cost) => number) => costs.map(cost => what(cost).toFixed(0)).join(', ')
  return {
    what: `growth: ${name}`,
    measured: `${at100.us.toFixed(0)} µs at 100×`,
    ceiling: `${at1.us.toFixed(0)} µs at 1×`,
    ratio,
    budget: `≤ ${BUDGET}`,
    ok: ratio <= BUDGET,
    details: [
      `at ${UNITS.join(', ')}: ${all(cost => cost.us)} µs; ${all(cost => cost.rows)} rows and index entries, ${all(cost => cost.blocks)} blocks read`,
    ],
    figures: { units: UNITS, costs },
  }
}
