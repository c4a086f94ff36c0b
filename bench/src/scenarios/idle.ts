/** Idle connections: what each costs the gateway in memory, against a bare `ws` connection. */
import { setTimeout } from 'node:timers/promises'
import type { Identity } from '../client.ts'
import { residentBytes, Worker } from '../processes.ts'
import { kibibytes, mebibytes, type Row } from '../report.ts'
import { startSplit } from '../server.ts'
import type { Play, Scenario } from './scenario.ts'

const BUDGET_BYTES = 12 * 1024
/** The cost of a connection is the slope after these first ones, which pay for code, caches and what many handshakes at once need. */
const FIRST = 1000
/** A process is at rest when its memory has not changed by more than this between two looks. */
const REST_BYTES = 1024 * 1024
const LOOK_EVERY_MS = 1_000
const MOST_LOOKS = 20

export const idle: Scenario = {
  name: 'idle',
  about: 'memory of idle, subscribed connections in the gateway',
  run: async (play): Promise<Row[]> => {
    const connections = play.settings.idleConnections
    const echo = new Worker('./ceilings/echo.ts')
    const server = await startSplit(play.stage.databaseUrl, play.stage.natsUrl, { nodeOptions: play.nodeOptions })
    try {
      const bare = await slope(play, echo.pid, `ws://127.0.0.1:${await echo.ask({})}/ws`, null)
      await play.stage.load.run({ job: 'release' })
      const { pid } = server.processes.gateway!
      const subscribed = await slope(play, pid, server.wsUrls[0]!, play.stage.author)
      await play.stage.load.run({ job: 'listen' })
      const waiting = await atRest(pid)
      const total = subscribed.resident
      await play.stage.load.run({ job: 'release' })
      return [
        {
          what: `idle connection, subscribed (${connections.toLocaleString('en')})`,
          measured: kibibytes(subscribed.each),
          ceiling: kibibytes(bare.each),
          ratio: subscribed.each / bare.each,
          budget: `≤ ${kibibytes(BUDGET_BYTES)}`,
          ok: subscribed.each <= BUDGET_BYTES,
          details: [
            `gateway in all ${mebibytes(total)}; with an events_listen waiting on each ${mebibytes(waiting)}, that is ${kibibytes((waiting - total) / connections)} more each`,
          ],
          figures: { connections, each: subscribed.each, bare: bare.each, total, waiting },
        },
      ]
    } finally {
      await play.stage.load.run({ job: 'release' })
      await Promise.all([echo.end(), server.stop()])
    }
  },
}

/** Resident bytes of each connection beyond the first ones, and of the whole process at the end. */
async function slope(
  { stage, settings }: Play,
  pid: number,
  url: string,
  identity: Identity | null,
): Promise<{ each: number; resident: number }> {
  const connections = settings.idleConnections
  const first = Math.min(FIRST, Math.floor(connections / 2))
  await stage.load.run({ job: 'hold', url, identity, connections: first })
  const before = await atRest(pid)
  await stage.load.run({ job: 'hold', url, identity, connections })
  const resident = await atRest(pid)
  return { each: (resident - before) / (connections - first), resident }
}

/** Resident bytes once they stay the same, or after the last look. */
async function atRest(pid: number): Promise<number> {
  const seen = { bytes: residentBytes(pid) }
  for (let look = 0; look < MOST_LOOKS; look++) {
    await setTimeout(LOOK_EVERY_MS)
    const bytes = residentBytes(pid)
    const change = Math.abs(bytes - seen.bytes)
    seen.bytes = bytes
    if (change <= REST_BYTES) break
  }
  return seen.bytes
}
