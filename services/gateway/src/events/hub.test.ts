/** Events reach a session in the order of their commits, however the replicas of the metadata service tell them. */
import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { admissionOf } from '@parsec/shared/bus/admission'
import { LocalBus } from '@parsec/shared/bus/local'
import { serveInternal } from '@parsec/shared/bus/rpc'
import * as subjects from '@parsec/shared/bus/subjects'
import { decodeMap, type Encodable, encode } from '@parsec/shared/codec/msgpack'
import { DateTime, Uuid } from '@parsec/shared/codec/values'
import { EVENT_GAP_MS } from '@parsec/shared/deadlines'
import type { Log } from '@parsec/shared/log'
import { noMetrics } from '@parsec/shared/metrics'
import type { BusEvent, ClientEvent, ControlEvent } from '@parsec/shared/protocol/events'
import { EventHub } from './hub.ts'

const log: Log = { debug() {}, info() {}, warning() {}, error() {}, critical() {}, child: () => log }
const REALM = Uuid.random()
const ORGANIZATION = 'Org'

type Told = Omit<Extract<BusEvent, { fields: unknown }>, 'id' | 'organization_id'> & { id?: string }

const changed = (checkpoint: number, place: number): Told => ({
  recipients: { to: 'realm', realm_id: REALM, except: 'mallory@pc' },
  fields: { event: 'realm.vlobs_updated', realm_id: REALM, checkpoint, src_id: REALM, src_version: checkpoint },
  place,
})
const role = (place: number, role: 'READER' | null): Told => ({
  recipients: { to: 'users', user_ids: ['bob'] },
  fields: { event: 'realm.roles_updated', realm_id: REALM, role },
  certified_on: new DateTime(place),
  place,
})

/** Alice is in the realm from its first event on, bob is not; both have subscribed. */
async function world() {
  const bus = new LocalBus()
  const service = { bus, service: 'metadata', log, admission: admissionOf(1), scope: <C>(call: C) => call } as const
  /** Of the realm. */
  const newest = { place: 1 }
  /** Whose realms were read. */
  const read: number[] = []
  await serveInternal(service, {
    realm_memberships: async (_ctx, { user }) => {
      read.push(user)
      return {
        realms: user === 1 ? [{ realm_id: REALM, certified_on: new DateTime(1), place: newest.place }] : [],
        message_count: 0,
      }
    },
  })
  const counted: string[] = []
  const hub = new EventHub(bus, log, { ...noMetrics, event: name => void counted.push(name) })
  const member = async (user: number, user_id: string) => {
    const told: ClientEvent[] = []
    const ends: string[] = []
    const organization = await hub.enter(ORGANIZATION)
    const offer = (event: Buffer) => void told.push(decodeMap(event) as unknown as ClientEvent)
    const end = (why: string) => void ends.push(why)
    const peer = { offer, end, sendAway: end }
    const session = organization.join(user_id, `${user_id}@pc`, [3, 4], peer)
    await hub.subscribe(organization, session, { organization: 1, user })
    const shown = () => told.map(event => ('checkpoint' in event ? event.checkpoint : event.event))
    return { told, ends, shown, leave: () => hub.exit(organization, session) }
  }
  const [alice, bob] = [await member(1, 'alice'), await member(2, 'bob')]
  const tell = async (...events: Told[]) => {
    for (const event of events) {
      const sent = { id: Uuid.random().hex, organization_id: ORGANIZATION, ...event } as unknown as Encodable
      bus.publish(subjects.clientEvents(ORGANIZATION), encode(sent))
    }
    await nextTurn()
    await nextTurn()
  }
  const order = async (control: ControlEvent) => {
    bus.publish(
      subjects.controlEvents(ORGANIZATION),
      encode({ id: Uuid.random().hex, organization_id: ORGANIZATION, control }),
    )
    await nextTurn()
    await nextTurn()
  }
  return { hub, alice, bob, tell, order, counted, member, read, newest }
}

test('changes that overtake the role which was granted before them wait for it (01-wire §10.5)', async () => {
  const { hub, alice, bob, tell } = await world()
  await tell(changed(1, 2), changed(2, 4))
  assert.deepEqual(alice.shown(), [1])
  await tell(role(3, 'READER'))
  assert.deepEqual(alice.shown(), [1, 2])
  assert.deepEqual(bob.shown(), ['realm.roles_updated', 2])
  await hub.stop()
})

test('who lost the role before a change does not hear of it, though its event comes first (01-wire §10.5)', async () => {
  const { hub, alice, bob, tell } = await world()
  await tell(role(2, 'READER'), changed(1, 4), changed(2, 5))
  assert.deepEqual(bob.shown(), ['realm.roles_updated'])
  await tell(role(3, null))
  assert.deepEqual(bob.shown(), ['realm.roles_updated', 'realm.roles_updated'])
  assert.deepEqual(alice.shown(), [1, 2])
  await hub.stop()
})

test('further sessions of a user share what the first has read, until something may have been missed', async () => {
  const { hub, tell, order, member, read } = await world()
  assert.deepEqual(read, [1, 2])
  const others = await Promise.all([member(1, 'alice'), member(1, 'alice')])
  assert.deepEqual(read, [1, 2])
  await tell(changed(1, 2))
  assert.deepEqual(
    others.map(({ shown }) => shown()),
    [[1], [1]],
  )
  await order({ control: 'events.lost' })
  const [next] = await Promise.all([member(1, 'alice'), member(1, 'alice')])
  assert.deepEqual(read, [1, 2, 1], 'those that come at once read together')
  hub.forgetOrder()
  await member(1, 'alice')
  assert.deepEqual(read, [1, 2, 1, 1])
  await tell(changed(2, 3))
  assert.deepEqual(next.shown(), [], 'who is being sent away')
  await hub.stop()
})

test('who subscribes after a time when nobody did is not kept waiting for what happened then', async () => {
  const { hub, alice, bob, tell, member, newest } = await world()
  await tell(changed(1, 2))
  for (const { leave } of [alice, bob]) leave()
  newest.place = 7
  const again = await member(1, 'alice')
  await tell(changed(5, 8))
  assert.deepEqual(again.shown(), [5])
  await hub.stop()
})

test('an event that is told again reaches clients once, also when many others came in between', async () => {
  const { hub, alice, tell } = await world()
  const twice = { ...changed(1, 2), id: 'told twice' }
  const others = Array.from(
    { length: 40_000 },
    (): Told => ({ ...role(9, null), recipients: { to: 'users', user_ids: [] } }),
  )
  await tell(twice, twice, ...others, twice)
  assert.deepEqual(alice.shown(), [1])
  await hub.stop()
})

test('each event that a client is given counts', async () => {
  const { hub, tell, counted } = await world()
  await tell(changed(1, 2), role(3, 'READER'), changed(2, 4))
  assert.deepEqual(counted, ['realm.vlobs_updated', 'realm.roles_updated', ...Array(2).fill('realm.vlobs_updated')])
  await hub.stop()
})

test('when an event is lost for good, whoever may have missed it is sent away', async () => {
  const { hub, alice, bob, order } = await world()
  await order({ control: 'events.lost' })
  assert.deepEqual([alice.ends, bob.ends], [['events.lost'], ['events.lost']])
  await hub.stop()
})

test('whoever may have missed an event is disconnected, once: not those who come after a loss that all were told of', async () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    const { hub, alice, bob, tell } = await world()
    await tell(changed(1, 2), changed(3, 4))
    mock.timers.tick(EVENT_GAP_MS)
    assert.deepEqual([alice.ends, bob.ends], [['events.lost'], []], 'bob is not in the realm')
    hub.forgetOrder()
    await tell(changed(7, 9))
    mock.timers.tick(EVENT_GAP_MS)
    assert.deepEqual(alice.ends, ['events.lost'])
    assert.deepEqual(alice.shown(), [1, 3, 7])
    await hub.stop()
  } finally {
    mock.timers.reset()
  }
})

test('an event that makes no sense is passed over when its wait is over, and later ones are told', async () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    const { hub, alice, tell } = await world()
    await tell(changed(1, 2), { ...changed(3, 4), recipients: { to: 'realm' } as never })
    mock.timers.tick(EVENT_GAP_MS)
    await tell(changed(4, 5))
    assert.deepEqual(alice.shown(), [1, 4])
    await hub.stop()
  } finally {
    mock.timers.reset()
  }
})
