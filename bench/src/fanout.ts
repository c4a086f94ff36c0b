/** The load of the event fan-out: one writer, many subscribers, and the time until each has the event. */
import { setTimeout } from 'node:timers/promises'
import { encode } from '@parsec/shared/codec/msgpack'
import { DateTime, Uuid } from '@parsec/shared/codec/values'
import { connect, decodeReply, type Identity, signingKeyOf, Wire } from './client.ts'
import { type LoadResult, Meter } from './meter.ts'
import { frame } from './socket.ts'

/** `subscribers` connections over `urls` in turn; then `updates` updates, one after the other. */
export type FanoutJob = {
  job: 'fanout'
  urls: readonly string[]
  /** The vlob that `author` updates and the device that listens; null for the ceiling, where messages are the events. */
  parts: { author: Identity; listener: Identity; vlob: string } | null
  subscribers: number
  updates: number
}

export const LISTEN = frame(encode({ cmd: 'events_listen', wait: true }))
/** Between two updates, so that the subscribers' next requests are not in the way of the next event. */
const PAUSE_MS = 30
/** Connections that are opened at the same time; more would overflow the server's backlog. */
const OPEN_AT_ONCE = 50

export async function openMany(count: number, open: (i: number) => Promise<Wire>): Promise<Wire[]> {
  const wires: Wire[] = []
  while (wires.length < count) {
    const group = Array.from({ length: Math.min(OPEN_AT_ONCE, count - wires.length) }, (_, i) => open(wires.length + i))
    wires.push(...(await Promise.all(group)))
  }
  return wires
}

type Writer = { wire: Wire; version: number; write(version: number): Promise<unknown> }

/** The time of an operation is from the writer's request to the moment when one subscriber has the event. */
export async function fanout({ urls, parts, subscribers, updates }: FanoutJob): Promise<LoadResult> {
  const key = parts && signingKeyOf(parts.listener)
  const wires = await openMany(subscribers, async i => {
    const url = urls[i % urls.length]!
    if (!parts || !key) return Wire.open(url)
    const wire = await connect(url, parts.listener, key)
    await wire.request({ cmd: 'events_subscribe' })
    return wire
  })
  const writer = parts ? await createAuthor(urls[0]!, parts.author, parts.vlob) : await createRawWriter(urls[0]!)

  const meter = new Meter(0, Number.MAX_SAFE_INTEGER)
  const round = { version: writer.version, sentAt: 0, missing: 0, done: () => {}, failed: (_: Error) => {} }
  /** All are told the same bytes: the first of a round are looked into, the others compared. */
  let expected = Buffer.alloc(0)
  for (const wire of wires) {
    const onMessage = (message: Buffer) => {
      if (!message.equals(expected)) {
        const event = decodeReply(message)
        if (event.event !== 'realm.vlobs_updated' || event.src_version !== round.version)
          return round.failed(new Error(`unexpected event: ${JSON.stringify(event)}`))
        expected = Buffer.from(message)
      }
      meter.count(round.sentAt)
      if (--round.missing === 0) round.done()
    }
    wire.listen(onMessage, error => round.failed(error))
  }
  for (let i = 0; i < updates; i++) {
    if (parts) for (const wire of wires) wire.sendFrame(LISTEN)
    await setTimeout(PAUSE_MS)
    const delivered = new Promise<void>((done, failed) => {
      Object.assign(round, { version: round.version + 1, missing: subscribers, done, failed })
    })
    round.sentAt = performance.now()
    await Promise.all([delivered, writer.write(round.version)])
  }
  for (const wire of [writer.wire, ...wires]) wire.close()
  return meter.result()
}

async function createAuthor(url: string, author: Identity, vlob: string): Promise<Writer> {
  const wire = await connect(url, author, signingKeyOf(author))
  const about = { encryption_revision: 1, vlob_id: Uuid.parse(vlob)! }
  const { version } = await wire.request({ cmd: 'vlob_read', ...about, version: null, timestamp: null })
  const blob = Buffer.alloc(300)
  return {
    wire,
    version: version as number,
    write: version => {
      const timestamp = DateTime.now()
      return wire.request({ cmd: 'vlob_update', ...about, timestamp, version, blob, sequester_blob: null })
    },
  }
}

/** The ceiling tells every connection, the writer's too. */
async function createRawWriter(url: string): Promise<Writer> {
  const wire = await Wire.open(url)
  return {
    wire,
    version: 0,
    write: version => {
      wire.send(encode({ event: 'realm.vlobs_updated', src_version: version }))
      return wire.receive()
    },
  }
}
