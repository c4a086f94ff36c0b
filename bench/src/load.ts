/**
 * The load: what a load process does, and the jobs that it takes from `processes.ts`.
 *
 * Every job is a closed loop: a connection sends its next request when it has the reply to the last one.
 */
import type { KeyObject } from 'node:crypto'
import { connect, type Identity, signingKeyOf, Wire } from './client.ts'
import { type CrowdJob, runCrowdJob } from './crowd.ts'
import { type FanoutJob, fanout, LISTEN, openMany } from './fanout.ts'
import { type LoadResult, Meter } from './meter.ts'
import { type ObjectsJob, objects } from './objects.ts'
import { createDriver, type Driver, type Workload } from './workload.ts'

/** `identity` null: a ceiling, which wants no handshake. Durations in milliseconds. */
export type CommandsJob = {
  job: 'commands'
  url: string
  identity: Identity | null
  connections: number
  workload: Workload
  warmupMs: number
  measureMs: number
}
export type HandshakesJob = {
  job: 'handshakes'
  url: string
  identity: Identity
  connections: number
  warmupMs: number
  measureMs: number
}
/** Opens connections until `connections` are held, and leaves them open. */
export type HoldJob = { job: 'hold'; url: string; identity: Identity | null; connections: number }
/** Makes every held connection wait for an event. */
export type ListenJob = { job: 'listen' }
export type ReleaseJob = { job: 'release' }
export type Job = CommandsJob | HandshakesJob | HoldJob | ListenJob | ReleaseJob | FanoutJob | CrowdJob | ObjectsJob

const held: Wire[] = []

export async function runJob(job: Job): Promise<LoadResult | null> {
  switch (job.job) {
    case 'commands':
      return commands(job)
    case 'handshakes':
      return handshakes(job)
    case 'hold':
      return hold(job)
    case 'listen':
      for (const wire of held) wire.sendFrame(LISTEN)
      return null
    case 'release':
      for (const wire of held.splice(0)) wire.close()
      return null
    case 'fanout':
      return fanout(job)
    case 'objects':
      return objects(job)
    default:
      return runCrowdJob(job)
  }
}

const open = (url: string, identity: Identity | null, key: KeyObject | null): Promise<Wire> =>
  identity && key ? connect(url, identity, key) : Wire.open(url)
const keyOf = (identity: Identity | null): KeyObject | null => identity && signingKeyOf(identity)

async function commands({
  url,
  identity,
  connections,
  workload,
  warmupMs,
  measureMs,
}: CommandsJob): Promise<LoadResult> {
  const key = keyOf(identity)
  const wires = await Promise.all(Array.from({ length: connections }, () => open(url, identity, key)))
  const drivers = await Promise.all(wires.map((wire, i) => createDriver(workload, i, wire)))
  const meter = new Meter(warmupMs, measureMs)
  await Promise.all(wires.map((wire, i) => drive(wire, drivers[i]!, meter)))
  for (const wire of wires) wire.close()
  return meter.result()
}

function drive(wire: Wire, driver: Driver, meter: Meter): Promise<void> {
  return new Promise((resolve, reject) => {
    const loop = { sentAt: performance.now() }
    wire.listen(reply => {
      try {
        driver.check(reply)
      } catch (error) {
        return reject(error)
      }
      loop.sentAt = meter.count(loop.sentAt)
      if (loop.sentAt >= meter.endsAt) resolve()
      else wire.sendFrame(driver.next())
    }, reject)
    wire.sendFrame(driver.next())
  })
}

async function handshakes({ url, identity, connections, warmupMs, measureMs }: HandshakesJob): Promise<LoadResult> {
  const key = signingKeyOf(identity)
  const meter = new Meter(warmupMs, measureMs)
  const loop = async () => {
    for (let startedAt = performance.now(); startedAt < meter.endsAt; ) {
      const wire = await connect(url, identity, key)
      startedAt = meter.count(startedAt)
      wire.close()
    }
  }
  await Promise.all(Array.from({ length: connections }, loop))
  return meter.result()
}

async function hold({ url, identity, connections }: HoldJob): Promise<null> {
  const key = keyOf(identity)
  const wires = await openMany(connections - held.length, async () => {
    const wire = await open(url, identity, key)
    if (identity) await wire.request({ cmd: 'events_subscribe' })
    return wire
  })
  held.push(...wires)
  return null
}
