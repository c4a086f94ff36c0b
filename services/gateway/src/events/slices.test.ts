import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DateTime, Uuid } from '@parsec/shared/codec/values'
import { FAN_OUT_TURN_MS } from '@parsec/shared/deadlines'
import { HeardEvent, Organization, type Peer } from './session.ts'
import { LOOK_EVERY, Slices } from './slices.ts'

const nextTurn = () => new Promise<void>(resolve => setImmediate(resolve))
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)
/** A clock by which each item takes so long that a turn is over after one look. */
const slow = () => {
  const clock = { items: 0, now: () => (clock.items / LOOK_EVERY) * FAN_OUT_TURN_MS }
  return clock
}

test('few items are worked on at once, many in slices of one turn of the event loop', async () => {
  const clock = slow()
  const slices = new Slices(clock.now)
  const done: number[] = []
  const each = (n: number) => {
    clock.items++
    done.push(n)
  }
  const whole = slices.each(numbers(LOOK_EVERY * 3 + 1), each)
  for (let turns = 1; turns <= 3; turns++) {
    assert.equal(done.length, LOOK_EVERY * turns)
    await nextTurn()
  }
  await whole
  assert.deepEqual(done, numbers(LOOK_EVERY * 3 + 1))
})
test('those that wait take turns, and what an item brings is no part of its turn', async () => {
  const clock = slow()
  const slices = new Slices(clock.now)
  const done: string[] = []
  const work = (name: string, then = () => {}) =>
    slices.each(numbers(LOOK_EVERY * 2), n => {
      clock.items++
      if (n % LOOK_EVERY > 0) return
      done.push(name)
      then()
    })
  let brought: Promise<void> | undefined
  const all = [work('a', () => (brought ??= work('c'))), work('b')]
  assert.deepEqual(done, ['a'])
  await Promise.all([...all, brought])
  assert.deepEqual(done.slice(0, 5), ['a', 'c', 'a', 'b', 'c'])
})

const REALMS = LOOK_EVERY * 4
const ORG = { organization_id: 'Org', id: 'x' }
const silent: Peer = { offer: () => {}, end: () => {}, sendAway: () => {} }

/** A clock by which a turn is over after one look, so that nothing is done sooner than it must. */
function world() {
  const clock = { looks: 0, now: () => (clock.looks++ * FAN_OUT_TURN_MS) / 2 }
  const organization = new Organization('Org', new Slices(clock.now))
  return { organization, join: (peer = silent) => organization.join('alice', 'alice@pc', [3, 4], peer) }
}

test('the realms of a user whose last session ends are forgotten in slices, and who comes meanwhile has realms of his own', async () => {
  const { organization, join } = world()
  const first = join()
  organization.startCatchingUp(first)
  organization.catchUp(first)
  const realm_ids = numbers(REALMS).map(() => Uuid.random())
  for (const realm_id of realm_ids) first.user.remember(realm_id, true, new DateTime(1))
  organization.leave(first)
  assert.ok(organization.realms.size > 0, 'not all in one turn')
  const told: unknown[] = []
  const second = join({ ...silent, offer: event => void told.push(event) })
  organization.startCatchingUp(second)
  const last = realm_ids.at(-1)!
  second.user.remember(last, true, new DateTime(1))
  organization.catchUp(second)
  const changed = () =>
    organization.deliver(
      new HeardEvent({
        ...ORG,
        recipients: { to: 'realm', realm_id: last, except: 'bob@pc' },
        fields: { event: 'realm.vlobs_updated', realm_id: last, checkpoint: 1, src_id: last, src_version: 1 },
      }),
    )
  changed()
  while (organization.realms.size > 1) await nextTurn()
  await nextTurn()
  assert.equal(second.user.isIn(last.hex), true)
  changed()
  assert.equal(told.length, 2)
})
test('many sessions are ended in slices', async () => {
  const { organization, join } = world()
  const ends: string[] = []
  const sessions = numbers(REALMS).map(() => join({ ...silent, sendAway: why => void ends.push(why) }))
  organization.sendAway(sessions, 'organization.expired')
  assert.ok(ends.length < REALMS, 'not all in one turn')
  while (ends.length < REALMS) await nextTurn()
})
