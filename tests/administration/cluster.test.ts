/** The administration of many processes: all are asked, and those that do not answer are named. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { clientOf } from '../harness/client.ts'
import { ADMINISTRATION_TOKEN, Cluster } from '../harness/launch.ts'
import { type Answer, Api } from './api.ts'
import { parsec } from './parsec-admin.ts'

const cluster = await Cluster.start({ topology: 'cluster' })
const client = clientOf(cluster)
const api = await Api.open(client.http, ADMINISTRATION_TOKEN)
after(async () => {
  cluster.process('gateway-2').signal('SIGCONT')
  await client.end()
  await cluster.stop()
})
type Item = Answer['json']

test('every replica is listed with its version', async () => {
  const { services, unanswered } = await api.ok('listServices')
  assert.deepEqual(
    services.map(({ service, is_ready }: Item) => [service, is_ready]),
    ['admin', 'blockstore', 'gateway', 'gateway', 'gateway', 'metadata', 'metadata'].map(name => [name, true]),
  )
  assert.deepEqual(unanswered, [])
  assert.equal(new Set(services.map(({ replica }: Item) => replica)).size, 7)
  assert.equal((await api.ok('listNodes')).nodes[0].views.length, 1)
})

test('connections of all gateways are one list; one that hangs is named, and the others are told', async () => {
  const { id: organization_id, alice } = await client.org()
  const on = async (name: string) => clientOf(cluster, cluster.process(name).url).connect(alice)
  const [first, second, third] = [await on('gateway-1'), await on('gateway-2'), await on('gateway-1')]
  const listed: Item[] = []
  for await (const page of api.pages('listConnections', 'connections', { organization_id, limit: 1 }))
    listed.push(...page)
  assert.equal(new Set(listed.map(({ conn_id }) => conn_id)).size, 3)
  assert.deepEqual(
    [listed[0].gateway, listed[1].gateway.replica === listed[0].gateway.replica],
    [listed[2].gateway, false],
  )
  const user = { organization_id, user_id: 'alice' }
  assert.equal((await api.ok('showUser', user)).user.connections, 3)
  await api.ok('cutConnection', { conn_id: listed[1].conn_id })
  await second.untilClosed()

  cluster.process('gateway-2').signal('SIGSTOP')
  const { connections, unanswered } = await api.ok('listConnections', { organization_id })
  assert.equal(connections.length, 2)
  assert.deepEqual(unanswered, [listed[1].gateway])
  assert.deepEqual((await api.ok('showUser', user)).unanswered, unanswered)
  assert.deepEqual(await api.refused('cutConnection', { conn_id: '0123456789abcdef'.repeat(2) }), [503, 'unavailable'])
  cluster.process('gateway-2').signal('SIGCONT')
  assert.deepEqual((await api.ok('listConnections', { organization_id })).unanswered, [])
  await Promise.all([first, third].map(connection => connection.close()))
})

test('a replica that ends is gone from the list, its successor is on it', async () => {
  const idOf = async () => (await api.ok('listServices')).services.map(({ replica }: Item) => replica)
  const before = await idOf()
  await cluster.process('gateway-3').end()
  const without = await idOf()
  assert.equal(without.length, 6)
  await cluster.process('gateway-3').start()
  // It says so itself, a moment after its port is open.
  let after = await idOf()
  while (after.length < 7) after = await idOf()
  assert.equal(after.length, 7)
  assert.equal(after.filter((replica: string) => before.includes(replica)).length, 6)
})

test('who had access to what is told; a name forges no line of it, and steers no terminal', async () => {
  const label = 'Alice\n\u001bcHuman Mallory\u009b2J'
  const { id } = await client.org({ alice: { email: 'alice@example.com', label } })
  const db = `--db=${cluster.database!.url}`
  const words = ['backend', 'human_accesses', `--organization=${id}`, db]
  const { code, out } = await parsec(client.http, ADMINISTRATION_TOKEN, ...words)
  assert.equal(code, 0)
  const [found, human, , end] = out.split('\n\n')[0]!.split('\n')
  assert.equal(found, 'Found 1 result(s)')
  assert.equal(human, 'Human Alice\ufffd\ufffdcHuman Mallory\ufffd2J alice@example.com')
  assert.equal(end, undefined)
})
