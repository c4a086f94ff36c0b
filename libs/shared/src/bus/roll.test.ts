/** Replicas that say that they are there, and somebody who asks them all. */
import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { encode } from '../codec/msgpack.ts'
import { DateTime } from '../codec/values.ts'
import { ROLL_LEASE_MS } from '../deadlines.ts'
import { Unavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import type { ReplicaCard } from '../protocol/replica.ts'
import { LocalBus } from './local.ts'
import { type Presence, Replica } from './replica.ts'
import { Roll } from './roll.ts'
import * as subjects from './subjects.ts'

const log: Log = { debug() {}, info() {}, warning() {}, error() {}, critical() {}, child: () => log }
const turn = () => new Promise(resolve => setImmediate(resolve))
const idsOf = (cards: readonly ReplicaCard[]) => cards.map(({ replica }) => replica)
const state = () => ({ is_ready: true, detail: {} })

test('replicas are known whether they or the roll were there first, until they leave', async () => {
  const bus = new LocalBus()
  const first = await Replica.present(bus, log, 'gateway', { state })
  const roll = await Roll.open(bus, log)
  const second = await Replica.present(bus, log, 'metadata', { state })
  for (let n = 0; n < 3; n++) await turn()
  assert.deepEqual(new Set(idsOf(roll.present())), new Set([first, second].map(r => r.card.replica)))
  assert.deepEqual(idsOf(roll.present('gateway')), [first.card.replica])
  await first.leave()
  await turn()
  assert.deepEqual(idsOf(roll.present()), [second.card.replica])
  await second.leave()
  await roll.close()
})

test('all are asked at once, and those that do not know the answer are named', async () => {
  const bus = new LocalBus()
  const roll = await Roll.open(bus, log)
  const replicas = await Promise.all([
    Replica.present(bus, log, 'gateway', { state }),
    Replica.present(bus, log, 'gateway', {}),
    Replica.present(bus, log, 'metadata', { state }),
  ])
  for (let n = 0; n < 3; n++) await turn()
  const { answers, unanswered } = await roll.ask('state', {})
  assert.deepEqual(
    answers.map(({ card, reply }) => [card.service, reply.is_ready]),
    [
      ['gateway', true],
      ['metadata', true],
    ],
  )
  assert.deepEqual(idsOf(unanswered), [replicas[1]!.card.replica])
  assert.equal((await roll.ask('state', {}, 'metadata')).answers.length, 1)
  await Promise.all(replicas.map(replica => replica.leave()))
  await roll.close()
})

test('no more replicas are known than may be, and nobody speaks for another service', async () => {
  const bus = new LocalBus()
  const roll = await Roll.open(bus, log)
  const say = (n: number, on = subjects.roll('gateway')) => {
    const replica = n.toString(16).padStart(16, '0')
    const card = { service: 'gateway' as const, replica, host: 'h', version: '1', started_on: DateTime.now() }
    const presence: Presence = { card, isLeaving: false }
    bus.publish(on, encode(presence))
  }
  say(5000, subjects.roll('blockstore'))
  await turn()
  assert.equal(roll.present().length, 0)
  for (let n = 0; n < 1100; n++) say(n)
  await turn()
  assert.equal(roll.present().length, 1000)
  await roll.close()
})

test('a replica that was killed, and says nothing any more, is known no longer than its lease', async () => {
  let now = performance.now()
  const clock = mock.method(performance, 'now', () => now)
  try {
    const bus = new LocalBus()
    const roll = await Roll.open(bus, log)
    const replica = await Replica.present(bus, log, 'gateway', { state })
    await turn()
    now += ROLL_LEASE_MS
    assert.deepEqual(idsOf(roll.present()), [replica.card.replica])
    now++
    assert.deepEqual(roll.present(), [])
    await replica.leave()
    await roll.close()
  } finally {
    clock.mock.restore()
  }
})

/** Lost at first. */
class LateBus extends LocalBus {
  isLost = true
  readonly listeners: ((isConnected: boolean) => void)[] = []
  override subscribe(...given: Parameters<LocalBus['subscribe']>) {
    return this.isLost ? Promise.reject(new Unavailable('lost')) : super.subscribe(...given)
  }
  override onStatus(listener?: (isConnected: boolean) => void) {
    if (listener) this.listeners.push(listener)
    return () => void this.listeners.splice(this.listeners.indexOf(listener!), 1)
  }
}

test('a replica that starts while the bus is lost is there as soon as that is back', async () => {
  const bus = new LateBus()
  const replica = await Replica.present(bus, log, 'gateway', { state })
  bus.isLost = false
  const roll = await Roll.open(bus, log)
  assert.deepEqual(roll.present(), [])
  for (const listener of [...bus.listeners]) listener(true)
  for (let n = 0; n < 5; n++) await turn()
  assert.deepEqual(idsOf(roll.present()), [replica.card.replica])
  assert.equal((await roll.ask('state', {})).answers.length, 1)
  await replica.leave()
  await roll.close()
})
