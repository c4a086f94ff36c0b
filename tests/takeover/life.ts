/**
 * What clients and administrators do with an organization after its takeover: commands of every kind, each answer held
 * against the rows of the organization and the specification. The organization is another one afterwards.
 */
import { randomBytes } from 'node:crypto'
import { deflateSync } from 'node:zlib'
import type { TestDatabase } from '../harness/backing.ts'
import {
  Connection,
  Context,
  certificate,
  Device,
  type Profile,
  pack,
  type RealmRole,
  type Reply,
  Time,
  Uuid,
} from '../harness/client.ts'
import { ADMINISTRATION_TOKEN } from '../harness/launch.ts'
import { goOn } from './adopted.ts'
import { keysOf, type Release } from './data-set.ts'
import { deviceOf } from './snapshot.ts'

type Organization = {
  key: string
  is_expired: boolean
  active_users_limit: number | null
  minimum_archiving_period: number
  is_sequestered: boolean
}
type User = {
  user_id: string
  profile: Profile
  is_revoked: boolean
  is_frozen: boolean
  email: string | null
  label: string | null
}
type Realm = {
  key: string
  realm_id: string
  encryption_revision: number
  checkpoint: number
  maintenance_type: string | null
  archiving: string
  is_deleted: boolean
  /** Of everybody who has one. */
  roles: { [user_id: string]: RealmRole }
}
type Person = { user: User; device: Device; connection: Connection }
type World = {
  id: string
  open(device: Device): Promise<Connection>
  openInvited(invitation_type: string, token: Uuid): Promise<Connection>
  context: Context
  query: TestDatabase['query']
  organization: Organization
  users: User[]
  people: Person[]
  admin: Person
  hasArchiving: boolean
  hasRecovery: boolean
  /** For each service that is asked for one. */
  sequestered(): object
  expect(what: string, got: unknown, ...wanted: unknown[]): void
}

/** What was other than it should be; and how much was looked at. */
export type Verdict = { flaws: string[]; looked: number }

export async function live(url: string, { query }: TestDatabase, release: Release, id: string): Promise<Verdict> {
  const { api, user_agent: userAgent, organizations } = keysOf(release)
  const context = new Context({ url, token: ADMINISTRATION_TOKEN, target: 'ours', features: new Set() })
  const verdict: Verdict = { flaws: [], looked: 0 }
  const expect = (what: string, got: unknown, ...wanted: unknown[]): void => {
    verdict.looked++
    if (!wanted.includes(got)) verdict.flaws.push(`${id}: ${what}: ${got}, not ${wanted.join(' or ')}`)
  }
  const open = (device: Device) => context.open({ device, api, userAgent })
  try {
    const organization = await organizationOf(query, id)
    const users = await usersOf(query, organization)
    const people: Person[] = []
    for (const keys of organizations[id]!.devices) {
      const device = deviceOf(id, keys)
      const user = users.find(({ user_id }) => user_id === keys.user_id)!
      const result = await open(device).catch(resultOf)
      const refusal = user.is_revoked ? 'revoked_device' : user.is_frozen ? 'frozen_user' : 'ok'
      const isIn = result instanceof Connection
      expect(
        `${device.device_id} enters`,
        isIn ? 'ok' : result,
        organization.is_expired ? 'organization_expired' : refusal,
      )
      if (isIn) people.push({ user, device, connection: result })
    }
    const admin = people.find(({ user }) => user.profile === 'ADMIN')
    if (!admin) return verdict
    const services = await query<{ service_id: string }>(
      'SELECT service_id FROM sequester_service WHERE organization = $1 AND disabled_on IS NULL',
      [organization.key],
    )
    const sequestered = () =>
      organization.is_sequestered
        ? { sequester_blob: new Map(services.map(({ service_id }) => [new Uuid(service_id), randomBytes(8)])) }
        : {}
    const openInvited = (invitation_type: string, token: Uuid) =>
      context.open({ invited: { organization_id: id, invitation_type, token }, api, userAgent })
    const [major, revision] = api
    const world: World = {
      ...{ id, open, openInvited, context, query, organization, users, people, admin, sequestered, expect },
      ...{ hasArchiving: major === 3 && revision >= 4, hasRecovery: major === 3 && revision >= 3 },
    }
    await statistics(world)
    const fresh = await newPeople(world)
    for (const realm of await realmsOf(query, organization)) await liveInRealm(world, realm, fresh)
    await invitations(world)
    await enrollments(world)
    if (world.hasRecovery) await recoveries(world)
    await administration(world)
    return verdict
  } finally {
    await context.end()
  }
}

const CUT = 'connection closed (1000)'
const resultOf = (error: { result?: { result: string }; message: string }): string =>
  error.result?.result ?? error.message

async function organizationOf(query: World['query'], id: string): Promise<Organization> {
  const [row] = await query<Organization>(
    `SELECT _id AS key, is_expired OR coalesce(expiration_date <= now(), FALSE) AS is_expired, active_users_limit,
       minimum_archiving_period, sequester_authority_certificate IS NOT NULL AS is_sequestered
     FROM organization WHERE organization_id = $1`,
    [id],
  )
  return row!
}
const usersOf = (query: World['query'], { key }: Organization): Promise<User[]> =>
  query(
    `SELECT user_id, profile, revoked_on IS NOT NULL AS is_revoked, frozen AS is_frozen, email, label
     FROM user_ LEFT JOIN human ON human._id = human WHERE user_.organization = $1 ORDER BY user_._id`,
    [key],
  )
const realmsOf = (query: World['query'], { key }: Organization): Promise<Realm[]> =>
  query(
    `SELECT _id AS key, replace(realm_id::text, '-', '') AS realm_id, encryption_revision::int, checkpoint::int,
       maintenance_type, archiving, archiving = 'DELETION_PLANNED' AND deletion_date <= now() AS is_deleted,
       (SELECT coalesce(json_object_agg(user_id, role), '{}') FROM realm_user JOIN user_ ON user_._id = user_
        WHERE realm = realm._id AND role IS NOT NULL) AS roles
     FROM realm WHERE organization = $1 ORDER BY _id`,
    [key],
  )

async function statistics({ query, organization, admin, expect }: World): Promise<void> {
  const [counted] = await query<{ [figure: string]: number }>(
    `SELECT (SELECT count(*) FROM user_ WHERE organization = $1)::int AS users,
       (SELECT count(*) FROM realm WHERE organization = $1)::int AS realms,
       (SELECT coalesce(sum(size), 0) FROM block WHERE organization = $1)::int AS data_size,
       (SELECT coalesce(sum(size), 0) FROM vlob_atom JOIN vlob ON vlob._id = vlob WHERE organization = $1)::int AS metadata_size`,
    [organization.key],
  )
  const told = await admin.connection.ok('organization_stats')
  for (const [figure, number] of Object.entries(counted!)) expect(figure, Number(told[figure]), number)
}

/** People who were not there before, one of each profile. */
type Fresh = { [P in Profile]: Person }

async function newPeople(world: World): Promise<Fresh> {
  const { id, admin, users, context, organization, open, expect } = world
  const create = async (user_id: string, profile: Profile, email: string) => {
    const device = new Device(id, admin.device.rvk, user_id, 'new', { profile, email, label: 'Zoé Ünïque' })
    const { status } = await admin.connection.cmd(
      'user_create',
      device.certificates(admin.device.device_id, admin.device.key),
    )
    return { device, status }
  }
  const active = users.filter(user => !user.is_revoked).length
  const { active_users_limit: limit } = organization
  if (limit !== null && active >= limit)
    expect('beyond the limit', (await create('zoe', 'ADMIN', 'zoe@example.com')).status, 'active_users_limit_reached')
  expect('no limit', (await context.admin('PATCH', `/organizations/${id}`, { active_users_limit: null })).status, 200)
  for (const { user_id } of users)
    expect(`${user_id} again`, (await create(user_id, 'STANDARD', 'again@example.com')).status, 'already_exists')
  const member = users.find(user => user.email && !user.is_revoked)
  if (member) expect('an address again', (await create('zoe', 'STANDARD', member.email!)).status, 'already_exists')

  const enter = async (user_id: string, profile: Profile): Promise<Person> => {
    const { device, status } = await create(user_id, profile, `${user_id}@example.com`)
    expect(`${user_id} is created`, status, 'ok')
    const user = { user_id, profile, is_revoked: false, is_frozen: false, email: null, label: null }
    return { device, connection: await open(device), user }
  }
  const fresh: Fresh = {
    ADMIN: await enter('zoe_new', 'ADMIN'),
    STANDARD: await enter('yan_new', 'STANDARD'),
    OUTSIDER: await enter('xan_new', 'OUTSIDER'),
  }
  const find = async (query: string): Promise<string[]> => {
    const asked = { query, omit_revoked: false, omit_non_human: false, page: 1, per_page: 100 }
    return (await admin.connection.ok('human_find', asked)).results.map((found: Reply) => found['user_id'])
  }
  expect('found by label', (await find('ünïQUE')).length, 3)
  for (const { user_id, email } of users)
    if (email) expect(`${user_id} is found by ${email}`, (await find(email.toUpperCase())).includes(user_id), true)
  for (const { connection, user } of Object.values(fresh))
    for (const { user_id } of users)
      expect(`${user_id} for ${user.profile}`, (await connection.cmd('user_get', { user_id })).status, 'ok')
  for (const { connection, device, user } of world.people) {
    const more = new Device(id, device.rvk, user.user_id, 'more', {})
    const { status } = await connection.cmd('device_create', more.deviceCertificates(device.device_id, device.key))
    expect(`a device for ${user.user_id}`, status, 'ok')
    await open(more)
  }
  return fresh
}

async function liveInRealm(world: World, realm: Realm, fresh: Fresh): Promise<void> {
  const { people, expect } = world
  const realm_id = new Uuid(realm.realm_id)
  for (const { connection, user } of people) {
    const role = realm.roles[user.user_id]
    const { status } = await connection.cmd('realm_status', { realm_id })
    expect(`status for ${role}`, status, role ? (realm.is_deleted ? 'realm_deleted' : 'ok') : 'not_allowed')
    const certificates = await connection.cmd('realm_get_role_certificates', { realm_id })
    expect(`role certificates for ${role}`, certificates.status, role ? 'ok' : 'not_allowed')
  }
  const owners = people.filter(({ user }) => realm.roles[user.user_id] === 'OWNER')
  const owner = owners.find(({ user }) => user.profile !== 'OUTSIDER') ?? owners[0]
  if (!owner) return
  await roles(world, realm, owner, fresh)
  const gate = realm.is_deleted
    ? 'realm_deleted'
    : realm.archiving !== 'AVAILABLE'
      ? 'realm_archived'
      : realm.maintenance_type
        ? 'in_maintenance'
        : 'ok'
  const poll = await owner.connection.cmd('vlob_poll_changes', { realm_id, last_checkpoint: 0 })
  expect('poll', poll.status, realm.is_deleted ? 'realm_deleted' : 'ok')
  if (poll.status === 'ok') expect('checkpoint', poll['current_checkpoint'], realm.checkpoint, 0)
  expect('vlob_create', await createVlob(world, realm, owner), gate)
  const block = { realm_id, block_id: new Uuid(), block: randomBytes(1000) }
  expect('block_create', (await owner.connection.cmd('block_create', block)).status, gate)
  if (realm.is_deleted) return
  await reencryption(world, realm, owner)
  await nextVersions(world, realm, owner)
  await blocks(world, realm, owner)
  if (world.hasArchiving) await archiving(world, realm, owner)
}

/** The status. */
async function createVlob(world: World, realm: Realm, { connection }: Person): Promise<string> {
  const { realm_id, encryption_revision } = realm
  const vlob = { realm_id: new Uuid(realm_id), encryption_revision, vlob_id: new Uuid(), timestamp: Time.now() }
  return (await connection.cmd('vlob_create', { ...vlob, blob: randomBytes(20), ...world.sequestered() })).status
}

async function roles(
  { context, users, people, expect }: World,
  realm: Realm,
  owner: Person,
  fresh: Fresh,
): Promise<void> {
  const realm_id = new Uuid(realm.realm_id)
  const share = async (user_id: string, role: RealmRole | null) =>
    (await context.share(owner.connection, owner.device, realm_id, user_id, role)).status
  const { ADMIN, OUTSIDER } = fresh
  const refusal =
    owner.user.profile === 'OUTSIDER'
      ? 'not_allowed'
      : realm.is_deleted
        ? 'realm_deleted'
        : realm.maintenance_type
          ? 'in_maintenance'
          : undefined
  if (refusal) return expect('shared', await share(ADMIN.user.user_id, 'READER'), refusal)
  expect('an outsider manages', await share(OUTSIDER.user.user_id, 'MANAGER'), 'incompatible_profile')
  expect('an outsider contributes', await share(OUTSIDER.user.user_id, 'CONTRIBUTOR'), 'ok')
  expect('owned', await share(ADMIN.user.user_id, 'OWNER'), 'ok')
  expect('owned again', await share(ADMIN.user.user_id, 'OWNER'), 'already_granted')
  for (const { user_id, is_revoked, profile } of users) {
    if (user_id === owner.user.user_id) continue
    const had = realm.roles[user_id] ?? null
    const recipient = people.find(({ user }) => user.user_id === user_id)
    const newest = recipient ? await inboxOf(recipient) : 0
    const other = had === 'READER' ? 'CONTRIBUTOR' : 'READER'
    expect(`${had} becomes ${other}`, await share(user_id, other), is_revoked ? 'user_revoked' : 'ok')
    if (is_revoked) continue
    if (recipient) expect(`the inbox of ${user_id}`, await inboxOf(recipient), newest + 1)
    const isTooMuch = profile === 'OUTSIDER' && (had === 'OWNER' || had === 'MANAGER')
    expect(`${had} again`, await share(user_id, had), isTooMuch ? 'incompatible_profile' : 'ok')
  }
}
/** The number of the newest message. */
async function inboxOf({ connection }: Person): Promise<number> {
  const { messages } = await connection.ok('message_get', { offset: 0 })
  return messages.at(-1)?.count ?? 0
}

/** What is under way ends, and another one begins and ends: every version can be read before, meanwhile and after. */
async function reencryption(world: World, realm: Realm, owner: Person): Promise<void> {
  const { query, expect } = world
  const realm_id = new Uuid(realm.realm_id)
  if (realm.maintenance_type) {
    const { total, done } = await goOn(owner.connection, realm_id, realm.encryption_revision, 3)
    expect('what was under way', done, total)
    realm.maintenance_type = null
  }
  const before = await contentsOf(owner, realm)
  const encryption_revision = realm.encryption_revision + 1
  const start = { realm_id, encryption_revision, timestamp: Time.now() }
  const participants = await query<{ user_id: string }>(
    `SELECT user_id FROM realm_user JOIN user_ ON user_._id = user_
     WHERE realm = $1 AND role IS NOT NULL AND revoked_on IS NULL`,
    [realm.key],
  )
  const per_participant_message = Object.fromEntries(participants.map(({ user_id }) => [user_id, randomBytes(5)]))
  const started = await owner.connection.cmd('realm_start_reencryption_maintenance', {
    ...start,
    per_participant_message,
  })
  expect('started', started.status, 'ok')
  const meanwhile = await contentsOf(owner, realm)
  expect('contents meanwhile', JSON.stringify(meanwhile), JSON.stringify(before))
  await goOn(owner.connection, realm_id, encryption_revision, 3)
  realm.encryption_revision = encryption_revision
  const turned = before.map(([what, blob, ...rest]) => [what, [...blob!.matchAll(/../g)].reverse().join(''), ...rest])
  expect('contents after', JSON.stringify(await contentsOf(owner, realm)), JSON.stringify(turned))
}

/** Each version that a realm lists: which, its blob, its author and its time. */
async function contentsOf({ connection }: Person, { realm_id, encryption_revision }: Realm): Promise<string[][]> {
  const { changes } = await connection.ok('vlob_poll_changes', { realm_id: new Uuid(realm_id), last_checkpoint: 0 })
  const contents: string[][] = []
  const ids = [...keysIn(changes)].map(key => key.replace(/^uuid:|-/g, '')).sort()
  for (const id of ids) {
    const vlob_id = new Uuid(id)
    const { versions } = await connection.ok('vlob_list_versions', { vlob_id })
    for (const version of [...keysIn(versions)].map(Number)) {
      const place = { vlob_id, version, encryption_revision, timestamp: null }
      const { blob, author, timestamp } = await connection.ok('vlob_read', place)
      contents.push([`${id} ${version}`, Buffer.from(blob).toString('hex'), author, String(timestamp.us)])
    }
  }
  return contents
}
const keysIn = (map: object): string[] => (map instanceof Map ? [...map.keys()].map(String) : Object.keys(map))

async function nextVersions(world: World, realm: Realm, { connection }: Person): Promise<void> {
  const { encryption_revision } = realm
  const isArchived = realm.archiving !== 'AVAILABLE'
  const vlobs = await world.query<{ vlob_id: string; version: string }>(
    'SELECT vlob_id, version FROM vlob WHERE realm = $1 AND timestamp <= now() LIMIT 5',
    [realm.key],
  )
  for (const { vlob_id, version } of vlobs) {
    const next = { encryption_revision, vlob_id: new Uuid(vlob_id), version: Number(version) + 1 }
    for (const status of ['ok', 'bad_version']) {
      const update = { ...next, timestamp: Time.now(), blob: randomBytes(7), ...world.sequestered() }
      const reply = await connection.cmd('vlob_update', update)
      world.expect(`version ${next.version}`, reply.status, isArchived ? 'realm_archived' : status)
    }
  }
}

async function blocks({ query, id, expect }: World, { key }: Realm, { connection }: Person): Promise<void> {
  const stored = await query<{ block_id: string; data: Buffer }>(
    'SELECT block_id, data FROM block JOIN block_data USING (block_id) WHERE realm = $1 AND organization_id = $2',
    [key, id],
  )
  for (const { block_id, data } of stored) {
    const { status, block } = await connection.cmd('block_read', { block_id: new Uuid(block_id) })
    expect(`block ${block_id}`, status === 'ok' && data.equals(block), true)
  }
}

async function archiving(world: World, realm: Realm, owner: Person): Promise<void> {
  const { expect, organization } = world
  const { device, connection } = owner
  const configure = async (type: string, seconds?: number) => {
    const deletion_date = seconds === undefined ? {} : { deletion_date: Time.now().plus(seconds) }
    const archiving_certificate = certificate(device.key, {
      ...{ type: 'realm_archiving_certificate', author: device.device_id, timestamp: Time.now() },
      ...{ realm_id: new Uuid(realm.realm_id), configuration: { type, ...deletion_date } },
    })
    return (await connection.cmd('realm_update_archiving', { archiving_certificate })).status
  }
  const period = organization.minimum_archiving_period
  expect('archived', await configure('ARCHIVED'), 'ok')
  expect('written to what is archived', await createVlob(world, realm, owner), 'realm_archived')
  expect('too soon', await configure('DELETION_PLANNED', period - 60), 'archiving_period_too_short')
  expect('to be deleted', await configure('DELETION_PLANNED', Math.max(period, 0) + 1000), 'ok')
  expect('available', await configure('AVAILABLE'), 'ok')
  realm.archiving = 'AVAILABLE'
  expect('written to what is available', await createVlob(world, realm, owner), 'ok')
}

type Invitation = { token: string; type: string; is_over: boolean; user_id: string; claimer_email: string | null }
async function invitations(world: World): Promise<void> {
  const { query, organization, people, users, openInvited, expect, hasRecovery } = world
  const all = await query<Invitation>(
    `SELECT token, type, deleted_on IS NOT NULL AS is_over, user_id, claimer_email FROM invitation
     JOIN user_ ON user_._id = greeter WHERE invitation.organization = $1 ORDER BY invitation._id`,
    [organization.key],
  )
  for (const { token: text, type, is_over, user_id, claimer_email } of all) {
    if (type === 'SHAMIR_RECOVERY' && !hasRecovery) continue
    const token = new Uuid(text)
    const claimer = await openInvited(type, token).catch(resultOf)
    expect(`${type} is entered`, claimer instanceof Connection ? 'ok' : claimer, is_over ? 'bad_identity' : 'ok')
    if (!(claimer instanceof Connection)) continue
    const info = await claimer.ok('invite_info')
    const greeters: string[] =
      type === 'SHAMIR_RECOVERY' ? info['recipients'].map((recipient: User) => recipient.user_id) : [user_id]
    for (const greeter_user_id of greeters) {
      const greeter = people.find(({ user }) => user.user_id === greeter_user_id)
      if (!greeter) continue
      const { invitations: listed } = await greeter.connection.ok('invite_list')
      const found = listed.find((invitation: Reply) => token.equals(invitation['token']))
      expect(`${type} is listed`, found?.status, 'READY')
      const [claimed, greeted] = await Promise.all([
        claimer.cmd('invite_1_claimer_wait_peer', { claimer_public_key: randomBytes(32), greeter_user_id }),
        greeter.connection.cmd('invite_1_greeter_wait_peer', { token, greeter_public_key: randomBytes(32) }),
      ])
      expect(`${type} is claimed`, `${claimed.status} ${greeted.status}`, 'ok ok')
    }
    const greeter = people.find(({ user }) => user.user_id === user_id)
    if (!greeter || type === 'SHAMIR_RECOVERY') continue
    if (type === 'USER') {
      const isMember = users.some(({ email, is_revoked }) => email === claimer_email && !is_revoked)
      const again = await greeter.connection.cmd('invite_new', { type, claimer_email, send_email: false })
      expect(
        'invited again',
        again.status,
        isMember ? 'already_member' : greeter.user.profile === 'ADMIN' ? 'ok' : 'not_allowed',
      )
    }
    for (const status of ['ok', 'already_deleted'])
      expect(
        `${type} is over`,
        (await greeter.connection.cmd('invite_delete', { token, reason: 'FINISHED' })).status,
        status,
      )
  }
}

type Enrollment = {
  key: string
  enrollment_id: string
  enrollment_status: string
  submitter_der_x509_certificate: Buffer
  submit_payload: Buffer
}
async function enrollments({ query, id, organization, admin, context, expect }: World): Promise<void> {
  const all = await query<Enrollment>(
    `SELECT _id AS key, enrollment_id, enrollment_status, submitter_der_x509_certificate, submit_payload
     FROM pki_enrollment WHERE organization = $1 ORDER BY _id`,
    [organization.key],
  )
  for (const { key, enrollment_id: text, enrollment_status, submitter_der_x509_certificate, submit_payload } of all) {
    const enrollment_id = new Uuid(text)
    const info = await context.anonymous(id, 'pki_enrollment_info', { enrollment_id })
    expect('enrollment', info['enrollment_status'], enrollment_status)
    if (enrollment_status === 'SUBMITTED') {
      const device = new Device(id, admin.device.rvk, `enrolled${key}`, 'new', { label: null })
      const answer = {
        ...{
          type: 'pki_enrollment_answer_payload',
          device_id: device.device_id,
          device_label: null,
          human_handle: null,
        },
        ...{ profile: 'STANDARD', root_verify_key: admin.device.rvk },
      }
      const accepted = await admin.connection.cmd('pki_enrollment_accept', {
        ...{ enrollment_id, accepter_der_x509_certificate: randomBytes(5), accept_payload_signature: randomBytes(5) },
        ...{ accept_payload: deflateSync(pack(answer)) },
        ...device.certificates(admin.device.device_id, admin.device.key),
      })
      expect('accepted', accepted.status, 'ok')
      const again = await context.anonymous(id, 'pki_enrollment_submit', {
        ...{ enrollment_id: new Uuid(), force: true, submitter_der_x509_certificate, submit_payload },
        ...{ submitter_der_x509_certificate_email: null, submit_payload_signature: randomBytes(5) },
      })
      expect('submitted again', again.status, 'already_enrolled')
    }
    const { status } = await admin.connection.cmd('pki_enrollment_reject', { enrollment_id })
    expect('rejected', status, 'no_longer_available')
  }
}

async function recoveries({ query, organization, people, expect }: World): Promise<void> {
  const setups = await query<{ user_id: string }>(
    'SELECT user_id FROM user_ WHERE organization = $1 AND shamir_recovery IS NOT NULL',
    [organization.key],
  )
  const withSetup = new Set(setups.map(({ user_id }) => user_id))
  for (const { connection, user } of people) {
    const { self_info } = await connection.ok('shamir_recovery_self_info')
    expect(`a recovery of ${user.user_id}`, self_info !== null, withSetup.delete(user.user_id))
    await connection.ok('shamir_recovery_setup', { setup: null })
    expect('its end', (await connection.ok('shamir_recovery_self_info'))['self_info'], null)
  }
}

async function administration({ id, context, open, admin, people, expect }: World): Promise<void> {
  const path = `/organizations/${id}`
  for (const more of ['', '/stats', '/users'])
    expect(`GET ${more}`, (await context.admin('GET', path + more)).status, 200)
  const entering = async ({ device }: Person): Promise<string> => {
    for (;;) {
      const result = await open(device).catch(resultOf)
      if (result instanceof Connection) return 'ok'
      // What was just changed may cut a handshake beside it: clients try again at once.
      if (result !== CUT) return result
    }
  }
  const other = people.find(({ user }) => user.email && user.user_id !== admin.user.user_id)
  if (other) {
    const freeze = { user_email: other.user.email, frozen: true }
    expect('frozen', (await context.admin('POST', `${path}/users/freeze`, freeze)).status, 200)
    expect('enters frozen', await entering(other), 'frozen_user')
    const revoke = async () => (await context.revoke(admin.connection, admin.device, other.user.user_id)).status
    expect('revoked', await revoke(), 'ok')
    expect('revoked again', await revoke(), 'already_revoked')
    expect('enters revoked', await entering(other), 'revoked_device')
  }
  expect('expires', (await context.admin('PATCH', path, { is_expired: true })).status, 200)
  expect('enters expired', await entering(admin), 'organization_expired')
  expect('opens again', (await context.admin('PATCH', path, { is_expired: false })).status, 200)
}
