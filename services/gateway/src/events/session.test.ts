import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeMap } from '@parsec/shared/codec/msgpack'
import { DateTime, Uuid } from '@parsec/shared/codec/values'
import { limits } from '@parsec/shared/limits'
import type { ClientEvent, Recipients } from '@parsec/shared/protocol/events'
import type { ApiVersion } from '@parsec/shared/protocol/versions'
import { HeardEvent, Organization } from './session.ts'

const REALM = Uuid.random()
const ORG = { organization_id: 'Org', id: 'x' }
const heard = (recipients: Recipients, fields: ClientEvent, certified_on?: number) =>
  new HeardEvent({
    ...ORG,
    recipients,
    fields,
    ...(certified_on !== undefined && { certified_on: new DateTime(certified_on) }),
  })
const role = (user_id: string, has: boolean, certified_on: number) =>
  heard(
    { to: 'users', user_ids: [user_id] },
    { event: 'realm.roles_updated', realm_id: REALM, role: has ? 'READER' : null },
    certified_on,
  )
const changed = (except: string) =>
  heard(
    { to: 'realm', realm_id: REALM, except },
    { event: 'realm.vlobs_updated', realm_id: REALM, checkpoint: 1, src_id: REALM, src_version: 1 },
  )

function member(organization: Organization, device_id: string, api_version: ApiVersion = [3, 4], subscribed = true) {
  const told: unknown[] = []
  const peer = { offer: (event: Buffer) => void told.push(decodeMap(event).event), end: () => {}, sendAway: () => {} }
  const session = organization.join(device_id.split('@')[0]!, device_id, api_version, peer)
  if (subscribed) {
    organization.startCatchingUp(session)
    organization.catchUp(session)
  }
  return { session, told }
}

test('a realm is heard by users in it, not by the device that wrote (01-wire §10.5)', () => {
  const organization = new Organization('Org')
  const [one, two, bob] = ['alice@dev1', 'alice@dev2', 'bob@dev1'].map(id => member(organization, id))
  one!.session.user.remember(REALM, true, new DateTime(1))
  organization.deliver(changed('alice@dev1'))
  assert.deepEqual([one!.told, two!.told, bob!.told], [[], ['realm.vlobs_updated'], []])
})
test('role events are heard by every session of the user, and open and close the realm (01-wire#46, #48)', () => {
  const organization = new Organization('Org')
  const alice = member(organization, 'alice@dev1')
  for (const [has, on] of [
    [true, 1],
    [false, 2],
  ] as const) {
    organization.deliver(role('alice', has, on))
    organization.deliver(changed('bob@dev1'))
  }
  assert.deepEqual(alice.told, ['realm.roles_updated', 'realm.vlobs_updated', 'realm.roles_updated'])
})
test('of role changes told in another order the newest certificate counts', () => {
  const organization = new Organization('Org')
  const { session } = member(organization, 'alice@dev1')
  organization.deliver(role('alice', false, 2))
  organization.deliver(role('alice', true, 1))
  assert.equal(session.user.isIn(REALM.hex), false)
  session.user.remember(REALM, true, new DateTime(3))
  assert.equal(session.user.isIn(REALM.hex), true)
})
test('what is heard while realms are read is told afterwards (01-wire §10.3)', () => {
  const organization = new Organization('Org')
  const { session, told } = member(organization, 'alice@dev1')
  organization.startCatchingUp(session)
  organization.deliver(changed('bob@dev1'))
  assert.deepEqual(told, [])
  session.user.remember(REALM, true, new DateTime(1))
  organization.catchUp(session)
  assert.deepEqual(told, ['realm.vlobs_updated'])
})
test('who turns out not to be in a realm is told nothing of it afterwards (01-wire §10.5)', () => {
  const organization = new Organization('Org')
  const { session, told } = member(organization, 'alice@dev1')
  organization.startCatchingUp(session)
  organization.deliver(changed('bob@dev1'))
  organization.catchUp(session)
  assert.deepEqual(told, [])
})
test('a device that writes while its realms are read is not told of it afterwards (01-wire §10.5)', () => {
  const organization = new Organization('Org')
  const { session, told } = member(organization, 'alice@dev1')
  organization.startCatchingUp(session)
  session.user.remember(REALM, true, new DateTime(1))
  organization.deliver(changed('alice@dev1'))
  organization.catchUp(session)
  assert.deepEqual(told, [])
})
test('a client is told only kinds of event that it knows (01-wire#53)', () => {
  const organization = new Organization('Org')
  const [old, young] = [member(organization, 'alice@dev1', [2, 5]), member(organization, 'alice@dev2', [2, 6])]
  organization.deliver(heard({ to: 'organization' }, { event: 'pki_enrollment.updated' }))
  assert.deepEqual([old.told, young.told], [[], ['pki_enrollment.updated']])
})
test('a session that did not subscribe hears nothing, and one that left neither', () => {
  const organization = new Organization('Org')
  const silent = member(organization, 'alice@dev1', [3, 4], false)
  const gone = member(organization, 'alice@dev2')
  organization.leave(gone.session)
  organization.deliver(heard({ to: 'organization' }, { event: 'pinged', ping: 'x' }))
  assert.deepEqual([silent.told, gone.told], [[], []])
  organization.leave(silent.session)
  assert.equal(organization.users.size, 0)
})
test('a session that ends on an event keeps no other from hearing it', () => {
  const organization = new Organization('Org')
  const sessions = ['alice@dev1', 'alice@dev2', 'alice@dev3'].map(id => member(organization, id))
  const { session, told } = sessions[1]!
  Object.assign(session.peer, { offer: () => organization.leave(session) })
  organization.deliver(role('alice', true, 1))
  assert.deepEqual([sessions[0]!.told.length, told.length, sessions[2]!.told.length], [1, 0, 1])
})
test('more events than a session can keep while its realms are read end it', async () => {
  const organization = new Organization('Org')
  const { session } = member(organization, 'alice@dev1')
  const why: string[] = []
  Object.assign(session.peer, { end: (reason: string) => why.push(reason) })
  organization.startCatchingUp(session)
  for (let i = 0; i < limits.deferred_events.value; i++) organization.deliver(role('alice', true, i))
  while (session.deferred!.length < limits.deferred_events.value) await new Promise(setImmediate)
  assert.deepEqual(why, [])
  organization.deliver(role('alice', true, 1))
  while (session.deferred!.length === limits.deferred_events.value) await new Promise(setImmediate)
  assert.deepEqual(why, ['too many events while subscribing'])
})
test('realms are forgotten with the last that remembers them', () => {
  const organization = new Organization('Org')
  const [alice, bob] = ['alice@dev1', 'bob@dev1'].map(id => member(organization, id))
  organization.deliver(role('alice', true, 1))
  organization.deliver(role('bob', false, 2))
  organization.leave(alice!.session)
  assert.equal(organization.realms.size, 1)
  organization.leave(bob!.session)
  assert.equal(organization.realms.size, 0)
})
