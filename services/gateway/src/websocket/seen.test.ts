/** Devices that come and go, as the metadata service hears of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LocalBus } from '@parsec/shared/bus/local'
import * as subjects from '@parsec/shared/bus/subjects'
import { decode, encode } from '@parsec/shared/codec/msgpack'
import { SEEN_AGAIN_MS } from '@parsec/shared/deadlines'
import { Unavailable } from '@parsec/shared/errors'
import type { Log } from '@parsec/shared/log'
import type { SeenDevice } from '@parsec/shared/protocol/internal'
import { Seen } from './seen.ts'

const log: Log = { debug() {}, info() {}, warning() {}, error() {}, critical() {}, child: () => log }

async function heard() {
  const bus = new LocalBus()
  const requests: SeenDevice[][] = []
  const world = { bus, requests, isAway: false, ms: 0 }
  await bus.serve(subjects.everyInternalOf('metadata'), 'metadata', async payload => {
    if (world.isAway) throw new Unavailable('away')
    const [, , request] = decode(payload) as unknown as [number, number, { seen: SeenDevice[] }]
    requests.push(request.seen.map(({ device, secondsAgo }) => ({ device, secondsAgo })))
    return encode({})
  })
  return Object.assign(world, { seen: new Seen(bus, log, () => world.ms) })
}

test('a device that comes and goes all the time is told once a minute, others together with it', async () => {
  const world = await heard()
  const { seen, requests } = world
  seen.note(1)
  seen.note(1)
  seen.note(2)
  world.ms = 4000
  await seen.tell()
  for (world.ms = 10_000; world.ms < SEEN_AGAIN_MS; world.ms += 10_000) {
    seen.note(1)
    await seen.tell()
  }
  assert.deepEqual(requests, [
    [
      { device: 1, secondsAgo: 4 },
      { device: 2, secondsAgo: 4 },
    ],
  ])
  await seen.tell()
  seen.note(1)
  await seen.tell()
  assert.deepEqual(requests.slice(1), [[{ device: 1, secondsAgo: 0 }]])
})

test('what cannot be told is told later, with its age', async () => {
  const world = await heard()
  world.isAway = true
  world.seen.note(1)
  await world.seen.tell()
  world.isAway = false
  world.ms = 30_000
  await world.seen.tell()
  assert.deepEqual(world.requests, [[{ device: 1, secondsAgo: 30 }]])
})

test('more devices than may wait are told another time, in requests of a thousand', async () => {
  const world = await heard()
  for (let device = 0; device < 12_000; device++) world.seen.note(device)
  world.ms = 5000
  world.seen.note(0)
  await world.seen.tell()
  assert.deepEqual(
    world.requests[0]!.slice(0, 2),
    [
      { device: 0, secondsAgo: 0 },
      { device: 1, secondsAgo: 5 },
    ],
    'who waits already is told of as seen last',
  )
  assert.deepEqual(
    world.requests.map(seen => seen.length),
    Array.from({ length: 10 }, () => 1000),
  )
})
