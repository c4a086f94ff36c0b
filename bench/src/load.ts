/**
 * The load: what a load process does, and the jobs that it takes from `processes.ts`.
 *
 * Every job is a closed loop: a connection sends its next request when it has the reply to the last one.
 */
import type { KeyObject } from 'node:crypto'
import { encode } from '@parsec/shared/codec/msgpack'
import { DateTime, Uuid } from '@parsec/shared/codec/values'
import { connect, decodeReply, type Identity, signingKeyOf, Wire } from './client.ts'
import { type LoadResult, Meter } from './meter.ts'
import { frame } from './socket.ts'
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
/** `subscribers` connections of `listener` over `urls` in turn; then `updates` updates by `author`, one after the other. */
export type FanoutJob = {
  job: 'fanout'
  urls: readonly string[]
  author: Identity
  listener: Identity
  subscribers: number
  vlob: string
  updates: number
}
export type Job = CommandsJob | HandshakesJob | HoldJob | ListenJob | ReleaseJob | FanoutJob

/** New connections that a job opens at the same time; more would overflow the server's backlog. */
const OPEN_AT_ONCE = 50

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
  }
}

const LISTEN = frame(encode({ cmd: 'events_listen', wait: true }))
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
  while (held.length < connections) {
    const wires = await Promise.all(
      Array.from({ length: Math.min(OPEN_AT_ONCE, connections - held.length) }, () => open(url, identity, key)),
    )
    if (identity) await Promise.all(wires.map(wire => wire.request({ cmd: 'events_subscribe' })))
    held.push(...wires)
  }
  return null
}

/** The time of an operation is from the request of the author to the moment when one subscriber has the event. */
async function fanout({ urls, author, listener, subscribers, vlob, updates }: FanoutJob): Promise<LoadResult> {
  const [authorKey, listenerKey] = [signingKeyOf(author), signingKeyOf(listener)]
  const vlob_id = Uuid.parse(vlob)!
  const writer = await connect(urls[0]!, author, authorKey)
  const wires: Wire[] = []
  while (wires.length < subscribers) {
    const opening = Array.from({ length: Math.min(OPEN_AT_ONCE, subscribers - wires.length) }, (_, i) =>
      connect(urls[(wires.length + i) % urls.length]!, listener, listenerKey),
    )
    wires.push(...(await Promise.all(opening)))
  }
  await Promise.all(wires.map(wire => wire.request({ cmd: 'events_subscribe' })))
  const read = await writer.request({
    cmd: 'vlob_read',
    encryption_revision: 1,
    vlob_id,
    version: null,
    timestamp: null,
  })

  const meter = new Meter(0, Number.MAX_SAFE_INTEGER)
  const round = { version: read.version as number, sentAt: 0, missing: 0, done: () => {}, failed: (_: Error) => {} }
  for (const wire of wires) {
    wire.listen(
      message => {
        const event = decodeReply(message)
        if (event.event !== 'realm.vlobs_updated' || event.src_version !== round.version)
          return round.failed(new Error(`unexpected event: ${JSON.stringify(event)}`))
        meter.count(round.sentAt)
        wire.sendFrame(LISTEN)
        if (--round.missing === 0) round.done()
      },
      error => round.failed(error),
    )
    wire.sendFrame(LISTEN)
  }
  for (let i = 0; i < updates; i++) {
    const delivered = new Promise<void>((resolve, reject) => {
      Object.assign(round, {
        version: round.version + 1,
        sentAt: performance.now(),
        missing: subscribers,
        done: resolve,
        failed: reject,
      })
    })
    const written = writer.request({
      cmd: 'vlob_update',
      encryption_revision: 1,
      vlob_id,
      timestamp: DateTime.now(),
      version: round.version,
      blob: Buffer.alloc(300),
      sequester_blob: null,
    })
    await Promise.all([delivered, written])
  }
  for (const wire of [writer, ...wires]) wire.close()
  return meter.result()
}
