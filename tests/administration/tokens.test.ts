/** Tokens of the administration: named, with scopes, exchanged while the server runs. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { clientOf } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'
import { Api } from './api.ts'

const folder = await mkdtemp(join(tmpdir(), 'parsec-tokens-'))
const file = join(folder, 'tokens')
await writeFile(file, '# name scopes token\nconsole read,write old-secret\ngrafana read watcher\n')
const cluster = await Cluster.start({
  topology: 'single',
  flags: [`--administration-token-file=${file}`, '--log-format=JSON'],
})
const client = clientOf(cluster)
const api = await Api.open(client.http, 'old-secret')
after(async () => {
  await client.end()
  await cluster.stop()
  await rm(folder, { recursive: true })
})
const server = cluster.process('server')
const mayRead = async (token: string) => (await api.as(token).call('listOrganizations')).status === 200
/** Resolves when the server has said so, once more than before. */
async function reload(event: string, text: string): Promise<void> {
  const count = () => server.output.split(event).length
  const before = count()
  await writeFile(file, text)
  server.signal('SIGHUP')
  while (count() === before) await new Promise(resolve => setTimeout(resolve, 20))
}

test('a token that may read changes nothing and sees no secret, over no way', async () => {
  const watcher = api.as('watcher')
  const organization_id = client.freshId()
  await api.ok('createOrganization', {}, { organization_id })
  assert.deepEqual(await watcher.ok('showToken').then(({ name, scopes }) => [name, scopes]), ['grafana', ['read']])
  await watcher.ok('showOrganization', { organization_id })
  const names = { organization_id, user_id: 'alice', conn_id: '0'.repeat(32) }
  for (const [path, methods] of Object.entries(api.document.paths))
    for (const [method, { operationId }] of Object.entries(methods)) {
      if (method === 'get' && operationId !== 'showBootstrapLink') continue
      const given = Object.fromEntries(Object.entries(names).filter(([name]) => path.includes(`{${name}}`)))
      const body = method === 'get' ? undefined : {}
      assert.deepEqual(await watcher.refused(operationId, given, body), [403, 'not_allowed'], operationId)
    }
  await assert.rejects(client.open({ administration: { token: 'watcher' } }))
  await (await client.open({ administration: { token: 'old-secret' } })).close()
})

test('SIGHUP reads the file again: old and new side by side, then the new one alone; a wrong file changes nothing', async () => {
  const hash = createHash('sha256').update('new-secret').digest('hex')
  const fresh = `console read,write sha256:${hash}\n`
  await reload('Administration tokens reloaded', `console read,write old-secret\n${fresh}`)
  assert.deepEqual(
    [await mayRead('old-secret'), await mayRead('new-secret'), await mayRead('watcher')],
    [true, true, false],
  )
  await reload('Administration tokens not reloaded', 'console everything new-secret\nx')
  assert.deepEqual([await mayRead('old-secret'), await mayRead('new-secret')], [true, true])
  await reload('Administration tokens reloaded', fresh)
  assert.deepEqual([await mayRead('old-secret'), await mayRead('new-secret')], [false, true])
  assert.ok(!server.output.includes('new-secret') && !server.output.includes('old-secret'))
})

test('the log says whose token it was, what was acted on and what was changed', async () => {
  const own = api.as('new-secret')
  const organization_id = client.freshId()
  await own.ok('createOrganization', {}, { organization_id })
  for (const operation of ['changeOrganization', 'changeOrganizationV1'])
    await own.ok(operation, { organization_id }, { active_users_limit: 7 })
  await own.refused('changeUser', { organization_id, user_id: 'bob' }, { is_frozen: true })
  const lines = () =>
    server.output.split('\n').filter(line => line.includes(organization_id) && line.includes('"Administration"'))
  while (!lines().some(line => line.includes('user_not_found'))) await new Promise(resolve => setTimeout(resolve, 20))
  const told = lines()
    .map(line => JSON.parse(line))
    .map(({ token, user_id, change, outcome }) => [token, user_id, change, outcome])
  assert.deepEqual(told, [
    ['console', undefined, { organization_id }, 'ok'],
    ['console', undefined, { active_users_limit: 7 }, 'ok'],
    ['console', undefined, { active_users_limit: 7 }, 'ok'],
    ['console', 'bob', { is_frozen: true }, 'user_not_found'],
  ])
})
