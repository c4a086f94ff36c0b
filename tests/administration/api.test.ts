/** The administration API beside the compatible routes: organizations, people, usage, connections, services. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { clientOf, refused, Time } from '../harness/client.ts'
import { ADMINISTRATION_TOKEN, Cluster } from '../harness/launch.ts'
import { type Answer, Api } from './api.ts'

const cluster = await Cluster.start({ topology: 'single' })
const client = clientOf(cluster)
const api = await Api.open(client.http, ADMINISTRATION_TOKEN)
after(async () => {
  await client.end()
  await cluster.stop()
})

type Item = { readonly [field: string]: unknown }
/** All pages of a list, joined, after a look at how long they are. */
async function joined(operationId: string, list: string, given: { limit: number; [name: string]: string | number }) {
  const pages: Item[][] = []
  for await (const page of api.pages(operationId, list, given)) pages.push(page)
  for (const page of pages.slice(0, -1)) assert.equal(page.length, given.limit)
  return pages.flat()
}

test('an organization is created, with the link that bootstraps it, changed and shown', async () => {
  const organization_id = client.freshId()
  const created = await api.ok('createOrganization', {}, { organization_id, active_users_limit: 3 })
  assert.match(created.bootstrap_token, /^[0-9a-f]{64}$/)
  const { port } = new URL(client.http)
  assert.equal(
    created.bootstrap_link,
    `parsec://127.0.0.1:${port}/${organization_id}?action=bootstrap_organization&token=${created.bootstrap_token}&no_ssl=true`,
  )
  assert.deepEqual(await api.ok('showBootstrapLink', { organization_id }), {
    bootstrap_token: created.bootstrap_token,
    bootstrap_link: created.bootstrap_link,
  })
  const shown = await api.ok('showOrganization', { organization_id })
  assert.deepEqual(shown, created.organization)
  assert.deepEqual([shown.is_bootstrapped, shown.users, shown.active_users_limit], [false, 0, 3])
  const date = '2999-01-01T00:00:00.000000Z'
  const changed = await api.ok(
    'changeOrganization',
    { organization_id },
    { active_users_limit: null, expiration_date: date },
  )
  assert.deepEqual(changed, { ...shown, active_users_limit: null, expiration_date: date })
  const expired = await api.ok('changeOrganization', { organization_id }, { is_expired: true })
  assert.ok(expired.is_expired && expired.expired_on)
  const opened = await api.ok('changeOrganization', { organization_id }, { is_expired: false, expiration_date: null })
  assert.deepEqual([opened.is_expired, opened.expired_on, opened.expiration_date], [false, null, null])
  // As long as nobody bootstrapped it, it may be created again, as if it had never been.
  await api.ok('changeOrganization', { organization_id }, { is_expired: true })
  const again = await api.ok('createOrganization', {}, { organization_id })
  assert.notEqual(again.bootstrap_token, created.bootstrap_token)
  const { created_on, ...settings } = again.organization
  assert.deepEqual({ ...settings, created_on: shown.created_on }, { ...shown, active_users_limit: null })
  assert.ok(created_on > shown.created_on)
})

test('no browser and no proxy keeps an answer, or takes it for a page', async () => {
  const right = { authorization: `Bearer ${ADMINISTRATION_TOKEN}` }
  for (const path of ['/v2/organizations', '/v2/organizations/no-such', '/stats?format=csv', '/v2/connections'])
    for (const headers of [right, {}]) {
      const { headers: answered } = await client.fetch(`/administration${path}`, { headers })
      assert.equal(answered.get('cache-control'), 'no-store', path)
      assert.equal(answered.get('x-content-type-options'), 'nosniff', path)
    }
})

test('a path that is spelled so that a rule of a proxy does not know it leads nowhere', async () => {
  const headers = { authorization: `Bearer ${ADMINISTRATION_TOKEN}` }
  const statusOf = async (path: string) => (await client.fetch(path, { headers })).status
  assert.equal(await statusOf('/administration/v2/token'), 200)
  for (const prefix of [
    '%61dministration',
    'administratio%6E',
    '%61dministration/',
    'Administration',
    '/administration',
  ])
    assert.equal(await statusOf(`/${prefix}/v2/token`), 404, prefix)
  assert.equal(await statusOf('/administration/v2/organizations/%6Eo-such'), 404)
  assert.equal(await statusOf(`/administration/v2/%74oken`), 200)
})

test('what cannot be is refused with a code, and the field that is wrong is named', async () => {
  const { id: organization_id } = await client.org()
  assert.deepEqual(await api.refused('createOrganization', {}, { organization_id }), [409, 'already_exists'])
  assert.deepEqual(await api.refused('showBootstrapLink', { organization_id }), [409, 'already_bootstrapped'])
  for (const unknown of ['no-such', 'no such', 'x'.repeat(33)])
    for (const operation of ['showOrganization', 'listUsers', 'listRealmUsage', 'listUserUsage', 'showBootstrapLink'])
      assert.deepEqual(await api.refused(operation, { organization_id: unknown }), [404, 'not_found'], operation)
  for (const operation of ['showUser', 'listDevices'])
    assert.deepEqual(await api.refused(operation, { organization_id, user_id: 'nobody' }), [404, 'user_not_found'])
  for (const [body, field] of [
    [{ active_users_limit: -1 }, 'active_users_limit'],
    [{ active_users_limit: '3' }, 'active_users_limit'],
    [{ is_expired: null }, 'is_expired'],
    [{ expiration_date: 'tomorrow' }, 'expiration_date'],
    [{ active_user_limit: 3 }, 'active_user_limit'],
    [[], 'body'],
  ] as const) {
    const { status, json } = await api.call('changeOrganization', { organization_id }, body)
    assert.deepEqual([status, json.error, Object.keys(json.fields)], [400, 'bad_data', [field]])
    assert.match(json.reason, new RegExp(`^${field}: `))
  }
  for (const body of ['', '{', '\ufeff{}'])
    assert.deepEqual(await api.refused('changeOrganization', { organization_id }, body), [400, 'bad_data'])
  assert.deepEqual(await api.refused('changeOrganization', { organization_id }, 'x'.repeat(1_048_577)), [
    413,
    'too_large',
  ])
  for (const query of [{ limit: 0 }, { limit: 1001 }, { limit: '1e2' }, { cursor: 'x' }, { sort: 'size' }, { page: 2 }])
    assert.deepEqual(await api.refused('listOrganizations', query), [400, 'bad_data'], JSON.stringify(query))
})

test('the negative zero of JSON is a zero, wherever a number is', async () => {
  const organization_id = await named('Zero')
  const body = '{"active_users_limit": -0, "minimum_archiving_period": -0}'
  const { status, json } = await api.call('changeOrganization', { organization_id }, body)
  assert.deepEqual([status, json.active_users_limit, json.minimum_archiving_period], [200, 0, 0])
  const cursor = Buffer.from('[-0, "Zero"]').toString('base64url')
  assert.equal((await api.call('listOrganizations', { cursor })).status, 200)
})

test('a text is searched for in whatever form of Unicode and case it comes', async () => {
  const { id: organization_id, alice } = await client.org()
  await client.user(await client.connect(alice), alice, 'jose', { label: 'Jos\u00e9' })
  for (const search of ['JOS\u00c9', 'jose\u0301']) {
    const { users } = await api.ok('listUsers', { organization_id, search })
    assert.deepEqual(
      users.map(({ user_id }: Answer['json']) => user_id),
      ['jose'],
      search,
    )
  }
})

test('lists are read page by page, in any order, and hold each item once', async () => {
  const created: string[] = []
  for (let n = 0; n < 7; n++) created.push(await named(`Paged${n % 2 ? 'A' : 'b'}${n}`))
  for (const sort of ['organization_id', 'created_on', 'active_users', 'data_size', 'metadata_size'])
    for (const order of ['asc', 'desc']) {
      const all = await joined('listOrganizations', 'organizations', { limit: 3, search: 'pagED', sort, order })
      assert.deepEqual(all.map(item => item.organization_id).sort(), created.toSorted(), sort)
      // What has the same figures comes by its id.
      const ids = all.map(item => String(item.organization_id))
      if (sort === 'created_on') assert.deepEqual(ids, order === 'asc' ? created : created.toReversed())
      else
        assert.deepEqual(
          ids,
          sort === 'organization_id' && order === 'desc' ? created.toSorted().reverse() : created.toSorted(),
        )
    }
  const page = await api.ok('listOrganizations', { limit: 2, search: 'Paged' })
  assert.deepEqual([page.organizations.length, page.total], [2, 7])
  assert.deepEqual(await api.ok('listOrganizations', { search: 'nobody-has-this' }), {
    organizations: [],
    next_cursor: null,
    total: 0,
  })
  await api.ok('changeOrganization', { organization_id: created[0]! }, { is_expired: true })
  const states = async (state: string) => (await api.ok('listOrganizations', { search: 'Paged', state })).total
  assert.deepEqual([await states('waiting'), await states('bootstrapped'), await states('expired')], [7, 0, 1])
  assert.equal((await api.ok('listOrganizations', { limit: 1000 })).next_cursor, null)
})
async function named(organization_id: string): Promise<string> {
  await client.createOrganization(organization_id)
  return organization_id
}

test('users have a profile, devices, and when they were last here; freezing puts them out', async () => {
  const { id: organization_id, alice } = await client.org({ alice: { email: 'alice@example.com', label: 'Alice A' } })
  const session = await client.connect(alice)
  const bob = await client.user(session, alice, 'bob', { email: 'bob@example.com', label: 'Bob', profile: 'OUTSIDER' })
  await client.user(session, alice, 'carl', { email: 'carl@example.com', label: 'Carl' })
  await client.revoke(session, alice, 'carl')
  const laptop = await client.connect(bob)
  await client.device(laptop, bob, 'phone')

  const { users, total } = await api.ok('listUsers', { organization_id })
  assert.equal(total, 3)
  const [first, second, third] = users as Answer['json'][]
  assert.deepEqual(
    [first, second, third].map(user => [
      user.user_id,
      user.email,
      user.name,
      user.profile,
      user.devices,
      user.connections,
    ]),
    [
      ['alice', 'alice@example.com', 'Alice A', 'ADMIN', 1, 1],
      ['bob', 'bob@example.com', 'Bob', 'OUTSIDER', 2, 1],
      ['carl', 'carl@example.com', 'Carl', 'STANDARD', 1, 0],
    ],
  )
  assert.deepEqual([first.revoked_on, !!third.revoked_on, third.last_seen_on], [null, true, null])
  const ids = async (given: object) =>
    (await joined('listUsers', 'users', { organization_id, limit: 1, ...given })).map(({ user_id }) => user_id)
  assert.deepEqual(await ids({ sort: 'user_id', order: 'desc' }), ['carl', 'bob', 'alice'])
  assert.deepEqual(await ids({ sort: 'last_seen_on', order: 'asc' }), ['alice', 'bob', 'carl'])
  assert.deepEqual(await ids({ search: 'CARL@' }), ['carl'])
  assert.deepEqual(await ids({ search: '%' }), [])
  assert.deepEqual([await ids({ state: 'active' }), await ids({ state: 'revoked' })], [['alice', 'bob'], ['carl']])

  const of = { organization_id, user_id: 'bob' }
  const { devices } = await api.ok('listDevices', of)
  assert.deepEqual(
    devices.map((device: Item) => [device.device_id, device.connections]),
    [
      ['bob@dev1', 1],
      ['bob@phone', 0],
    ],
  )
  assert.equal((await api.ok('listDevices', { ...of, limit: 1 })).total, 2)
  const frozen = await api.ok('changeUser', of, { is_frozen: true })
  assert.ok(frozen.user.is_frozen)
  await laptop.untilClosed()
  await refused(client.connect(bob), 'frozen_user')
  assert.deepEqual(await ids({ state: 'frozen' }), ['bob'])
  assert.equal((await api.ok('showUser', of)).user.connections, 0)
  assert.ok(!(await api.ok('changeUser', of, { is_frozen: false })).user.is_frozen)
  await (await client.connect(bob)).close()
  assert.deepEqual(await api.refused('changeUser', { organization_id, user_id: 'carl' }, { is_frozen: true }), [
    409,
    'user_revoked',
  ])
})

test('usage of realms and users, the largest first; owners beyond ten are not named', async () => {
  const { id: organization_id, alice } = await client.org()
  const session = await client.connect(alice)
  const [small, large] = [await client.realm(session, alice), await client.realm(session, alice)]
  await client.user(session, alice, 'bob')
  await client.share(session, alice, large, 'bob', 'READER')
  for (let n = 0; n < 11; n++) {
    await client.user(session, alice, `owner${n}`)
    await client.share(session, alice, small, `owner${n}`, 'OWNER')
  }
  await client.vlob(session, large, { blob: Buffer.alloc(1000) })
  await client.vlob(session, small, { blob: Buffer.alloc(10) })
  const { realms, total } = await api.ok('listRealmUsage', { organization_id })
  assert.equal(total, 2)
  assert.deepEqual(
    realms.map((realm: Item) => [realm.realm_id, realm.metadata_size, realm.data_size, realm.members]),
    [
      [hyphenated(large), 1000, 0, 2],
      [hyphenated(small), 10, 0, 12],
    ],
  )
  assert.deepEqual(realms[0].owners, ['alice'])
  assert.equal(realms[1].owners.length, 10)
  const users = await joined('listUserUsage', 'users', { organization_id, limit: 4 })
  assert.equal(users.length, 13)
  assert.deepEqual(
    [users[0], users.find(({ user_id }) => user_id === 'bob'), users[1]].map(user => [
      user!.owned_realms,
      user!.realms,
      user!.metadata_size,
    ]),
    [
      [2, 2, 1010],
      [0, 1, 0],
      [1, 1, 10],
    ],
  )
  const bySort = async (sort: string) =>
    (await joined('listRealmUsage', 'realms', { organization_id, limit: 1, sort, order: 'asc' })).map(
      ({ realm_id }) => realm_id,
    )
  assert.deepEqual(await bySort('size'), [hyphenated(small), hyphenated(large)])
  assert.deepEqual(await bySort('created_on'), [hyphenated(small), hyphenated(large)])
})
const hyphenated = (id: { toString(): string }): string =>
  id
    .toString()
    .replaceAll('-', '')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')

test('connections are listed oldest first and can be cut', async () => {
  const { id: organization_id, alice } = await client.org()
  const first = await client.connect(alice, { api: [2, 8], userAgent: 'parsec/2.16.0' })
  const bob = await client.user(first, alice, 'bob')
  const others = [await client.connect(bob), await client.connect(bob)]
  const all = await joined('listConnections', 'connections', { organization_id, limit: 1 })
  assert.deepEqual(
    all.map(({ device_id, kind }) => [device_id, kind]),
    [
      ['alice@dev1', 'authenticated'],
      ['bob@dev1', 'authenticated'],
      ['bob@dev1', 'authenticated'],
    ],
  )
  assert.deepEqual([all[0]!.api_version, all[0]!.client_release, all[0]!.address], ['2.8', '2.16', '127.0.0.1'])
  const { total, kinds, unanswered } = await api.ok('listConnections', { organization_id, user_id: 'bob', limit: 1 })
  assert.deepEqual([total, kinds.authenticated, unanswered], [2, 2, []])
  const conn_id = String(all[1]!.conn_id)
  assert.deepEqual(await api.ok('cutConnection', { conn_id }), { conn_id })
  await others[0]!.untilClosed()
  assert.deepEqual(await api.refused('cutConnection', { conn_id }), [404, 'connection_not_found'])
  assert.deepEqual(await api.refused('cutConnection', { conn_id: 'x' }), [404, 'connection_not_found'])
  assert.equal((await api.ok('listConnections', { organization_id })).total, 2)

  // Whoever has left changes nothing of the order, wherever its page ends.
  for (let n = 0; n < 6; n++) await client.connect(bob)
  const connectionsBy = async (limit: number) => joined('listConnections', 'connections', { organization_id, limit })
  const [byOne, byTwo, atOnce] = [await connectionsBy(1), await connectionsBy(2), await connectionsBy(100)]
  const ids = atOnce.map(connection => connection.conn_id)
  assert.equal(new Set(ids).size, 8)
  const beginnings = atOnce.map(({ since }) => String(since))
  assert.deepEqual(beginnings, beginnings.toSorted())
  for (const pages of [byOne, byTwo])
    assert.deepEqual(
      pages.map(connection => connection.conn_id),
      ids,
    )
})

test('services, nodes, warnings, activity and figures are told', async () => {
  const { id } = await client.org()
  const { services } = await api.ok('listServices')
  assert.deepEqual(
    services.map((service: Item) => [service.service, service.is_ready]),
    ['admin', 'blockstore', 'gateway', 'metadata'].map(name => [name, true]),
  )
  const { nodes, is_readable } = await api.ok('listNodes')
  assert.deepEqual([nodes.length, nodes[0].state, is_readable], [1, 'ok', true])
  const before = await api.ok('showOverview')
  await client.createOrganization(client.freshId())
  const now = await api.ok('showOverview')
  assert.deepEqual(
    [now.organizations.total, now.organizations.bootstrapped],
    [before.organizations.total + 1, before.organizations.bootstrapped],
  )
  const { samples } = await api.ok('showHistory', { days: 7 })
  assert.equal(samples.at(-1).organizations, now.organizations.total)
  const { minutes } = await api.ok('showActivity', { minutes: 5 })
  assert.equal(minutes.length, 5)
  assert.ok(
    minutes.some((minute: Item) => Number(minute.requests) > 0 && Number(minute.p99_ms) >= Number(minute.p50_ms)),
  )
  // A clock that is far off is refused, and the server warns of nothing; a store that fails it warns of.
  assert.ok(Array.isArray((await api.ok('listWarnings')).warnings))
  assert.ok(id)
})

test('a mail shows whether mails leave', async () => {
  assert.equal((await api.ok('sendTestMail', {}, { to: 'admin@example.com' })).to, 'admin@example.com')
  assert.deepEqual(await api.refused('sendTestMail', {}, { to: 'no address' }), [400, 'bad_data'])
})

test('who was here is told within seconds after leaving', async () => {
  const { id: organization_id, alice } = await client.org()
  const before = Time.now()
  await (await client.connect(alice)).close()
  const of = { organization_id, user_id: 'alice' }
  let user = (await api.ok('showUser', of)).user
  while (user.last_seen_on === null) {
    await new Promise(resolve => setTimeout(resolve, 500))
    user = (await api.ok('showUser', of)).user
  }
  assert.ok(Math.abs(Date.parse(user.last_seen_on) - before.us / 1000) < 30_000)
})

test('without the token nothing is told; the document says so', async () => {
  const stranger = api.as('wrong')
  for (const operation of ['listOrganizations', 'listConnections', 'listServices', 'showToken'])
    assert.deepEqual(await stranger.refused(operation), [403, 'not_allowed'])
  const { name, scopes } = await api.ok('showToken')
  assert.deepEqual([name, scopes], ['token', ['read', 'write']])
})
