/** Each row of the table of docs/operations.md, "what an operator does", by the API and by the command that it names. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { type Answer, Api, type Given } from '../administration/api.ts'
import { parsec } from '../administration/parsec-admin.ts'
import { type Connection, clientOf, refused } from '../harness/client.ts'
import { ADMINISTRATION_TOKEN, Cluster } from '../harness/launch.ts'
import { whatAnOperatorDoes } from './operations.ts'

const rows = whatAnOperatorDoes()

const cluster = await Cluster.start({ topology: 'single' })
const client = clientOf(cluster)
const api = await Api.open(client.http, ADMINISTRATION_TOKEN)
after(async () => {
  await client.end()
  await cluster.stop()
})

/** An organization with alice and bob, who is connected. */
type World = { id: string; laptop: Connection; bobReturns(): Promise<Connection> }
async function world(): Promise<World> {
  const { id, alice } = await client.org()
  const session = await client.connect(alice)
  const bob = await client.user(session, alice, 'bob', { email: 'bob@example.com', label: 'Bob' })
  await client.vlob(session, await client.realm(session, alice), { blob: Buffer.alloc(1234) })
  return { id, laptop: await client.connect(bob), bobReturns: () => client.connect(bob) }
}
/** One that nobody has bootstrapped. */
async function waiting(): Promise<World> {
  const id = client.freshId()
  await client.createOrganization(id)
  return { id } as World
}

type Scene = {
  /** Before; by default an organization in use. */
  begin?: () => Promise<World>
  given?: (world: World) => Given | Promise<Given>
  body?: object | ((world: World) => object)
  /** What the answer or the output says. */
  says?: (world: World) => RegExp
  /** What has become of it. */
  proves?: (world: World) => Promise<void>
}
const inOrganization = ({ id }: World): Given => ({ organization_id: id })
const bob = ({ id }: World): Given => ({ organization_id: id, user_id: 'bob' })
const show = (world: World): Promise<Answer['json']> => api.ok('showOrganization', inOrganization(world))
const connections = async (world: World) => (await api.ok('listConnections', bob(world))).connections

const SCENES: { readonly [what: string]: Scene } = {
  'See all organizations': { says: ({ id }) => new RegExp(id) },
  'Create an organization': {
    begin: async () => ({ id: client.freshId() }) as World,
    body: ({ id }: World) => ({ organization_id: id, active_users_limit: 50 }),
    says: ({ id }) => new RegExp(`parsec://.*/${id}\\?action=bootstrap_organization&token=`),
    proves: async w => assert.equal((await show(w)).active_users_limit, 50),
  },
  'Show the link for its first user again': {
    begin: waiting,
    given: inOrganization,
    says: ({ id }) => new RegExp(`parsec://.*/${id}\\?action=bootstrap_organization&token=`),
  },
  'See one organization': { given: inOrganization, says: ({ id }) => new RegExp(id) },
  'Change its limits': {
    given: inOrganization,
    body: { active_users_limit: 100 },
    says: () => /100/,
    proves: async w => assert.equal((await show(w)).active_users_limit, 100),
  },
  'Close it at once': {
    given: inOrganization,
    body: { is_expired: true },
    proves: async w => {
      await w.laptop.untilClosed()
      await refused(w.bobReturns(), 'organization_expired')
    },
  },
  'Close it at a date': {
    given: inOrganization,
    body: { expiration_date: '2999-01-31T00:00:00Z' },
    proves: async w => {
      const { is_expired, expiration_date } = await show(w)
      assert.deepEqual([is_expired, expiration_date], [false, '2999-01-31T00:00:00.000000Z'])
    },
  },
  'Open it again': {
    begin: async () => {
      const closed = await world()
      await api.ok('changeOrganization', inOrganization(closed), { is_expired: true })
      await closed.laptop.untilClosed()
      return closed
    },
    given: inOrganization,
    body: { is_expired: false, expiration_date: null },
    proves: async w => (await w.bobReturns()).close(),
  },
  'Delete it for good, with the code that the first call (without it) tells': {
    given: async w => {
      const { status, json } = await api.call('deleteOrganization', inOrganization(w))
      assert.deepEqual([status, json.error, json.users], [409, 'confirmation_required', 2])
      return { ...inOrganization(w), confirm: json.code }
    },
    proves: async w => {
      await w.laptop.untilClosed()
      assert.deepEqual(await api.refused('showOrganization', inOrganization(w)), [404, 'not_found'])
    },
  },
  'See its users, and when they were last here': { given: inOrganization, says: () => /bob@example\.com/ },
  'See the devices of a user': { given: bob, says: () => /bob@dev1/ },
  'Keep a user out': {
    given: bob,
    body: { is_frozen: true },
    proves: async w => {
      await w.laptop.untilClosed()
      await refused(w.bobReturns(), 'frozen_user')
    },
  },
  'Let the user back in': {
    begin: async () => {
      const frozen = await world()
      await api.ok('changeUser', bob(frozen), { is_frozen: true })
      await frozen.laptop.untilClosed()
      return frozen
    },
    given: bob,
    body: { is_frozen: false },
    proves: async w => (await w.bobReturns()).close(),
  },
  'See who takes how much room': { given: inOrganization, says: () => /alice.*1\.?2/s },
  'See what takes how much room': { given: inOrganization, says: () => /alice.*1\.?2/s },
  'See users and sizes of all, as of a date': {
    given: () => ({ format: 'json', at: '2999-01-31T00:00:00Z' }),
    says: ({ id }) => new RegExp(id),
  },
  'See who is connected': { given: inOrganization, says: () => /bob@dev1/ },
  'Cut a connection': {
    given: async w => ({ conn_id: (await connections(w))[0].conn_id }),
    proves: async w => void (await w.laptop.untilClosed()),
  },
  'See services, versions and readiness': { says: () => /metadata/ },
  'See the nodes of the block store': { says: () => /ok/ },
  'See the last warnings of all logs': {},
  'Try whether mails leave': { body: { to: 'me@example.com' }, says: () => /me@example\.com/ },
}

test('the table has a scene for each row, and no row is missing', () => {
  assert.deepEqual(rows.map(({ what }) => what).toSorted(), Object.keys(SCENES).toSorted())
})

for (const { what, operation, command } of rows)
  test(`${what}: ${operation}, and parsec ${command}`, async () => {
    const { begin = world, given = () => ({}), body, says, proves } = SCENES[what]!
    const [first, second] = [await begin(), await begin()]
    const content = typeof body === 'function' ? body(first) : body
    const answer = JSON.stringify(await api.ok(operation, await given(first), content))
    if (says) assert.match(answer, says(first))
    await proves?.(first)

    const { conn_id = '', confirm = '' }: Given = await given(second)
    const names = { Acme: second.id, CONN_ID: String(conn_id), CODE: String(confirm) }
    const words = command.split(' ').map(word => Object.entries(names).find(([name]) => name === word)?.[1] ?? word)
    const { code, out, err } = await parsec(client.http, ADMINISTRATION_TOKEN, ...words)
    assert.equal(code, 0, out + err)
    if (says) assert.match(out, says(second))
    await proves?.(second)
  })
