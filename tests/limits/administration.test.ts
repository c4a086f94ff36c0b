/** Guesses of the administration token: one count for every way in. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { clientOf } from '../harness/client.ts'
import { ADMINISTRATION_TOKEN, Cluster } from '../harness/launch.ts'

const cluster = await Cluster.start({ topology: 'single', flags: ['--trusted-proxies=127.0.0.1'] })
const client = clientOf(cluster)
after(async () => {
  await client.end()
  await cluster.stop()
})

test('wrong tokens are counted together, over HTTP and by the handshake of API v1; the right one always passes', async () => {
  const guess = async () =>
    (await client.fetch('/administration/stats', { headers: { authorization: 'Bearer x' } })).status
  const handshake = async (token: string) =>
    client.open({ administration: { token } }).then(
      () => 'ok',
      error => error.result.help,
    )
  for (let n = 0; n < 100; n++) assert.equal(await guess(), 403)
  for (let n = 0; n < 100; n++) assert.equal(await handshake('x'), 'Invalid administration token')
  assert.equal(await handshake('x'), 'Too many wrong administration tokens')
  assert.equal(await guess(), 429)
  assert.equal(await handshake(ADMINISTRATION_TOKEN), 'ok')
  assert.equal((await admin('GET', '/stats?format=json')).status, 200)
})

test('whoever has one IPv6 address has as many as there are guesses: they are counted as one', async () => {
  const guess = async (address: string) => {
    const headers = { authorization: 'Bearer x', 'x-forwarded-for': address }
    return (await client.fetch('/administration/stats', { headers })).status
  }
  for (let n = 1; n <= 200; n++) assert.equal(await guess(`2001:db8:1:2::${n}`), 403)
  assert.equal(await guess('2001:db8:1:2:3:4:5:6'), 429)
  assert.equal(await guess('2001:db8:1:3::1'), 403)
})

async function admin(method: string, path: string, body?: object, more: { [header: string]: string } = {}) {
  const headers = { authorization: `Bearer ${ADMINISTRATION_TOKEN}`, ...more }
  const response = await fetch(`${client.http}/administration${path}`, {
    method,
    headers,
    ...(body && { body: JSON.stringify(body) }),
  })
  const json = (await response.json().catch(() => ({}))) as { [field: string]: unknown }
  return { status: response.status, headers: response.headers, json }
}
const badData = (r: Awaited<ReturnType<typeof admin>>, what: string) =>
  assert.deepEqual([r.status, r.json.error], [400, 'bad_data'], what)

test('what PostgreSQL cannot store, and instants outside the calendar, are bad data and no crash', async () => {
  const { id } = await client.org()
  for (const user_email of ['a\0@b', '\ud800@b', 'x'.repeat(100_000)])
    badData(await admin('POST', `/organizations/${id}/users/freeze`, { frozen: true, user_email }), user_email)
  for (const user_id of ['a\0', '\ud800'])
    badData(await admin('POST', `/organizations/${id}/users/freeze`, { frozen: true, user_id }), user_id)
  for (const organization_id of ['a\0', '\ud800'])
    badData(await admin('POST', '/organizations', { organization_id }), organization_id)
  const unknown = { frozen: true, user_email: 'nobody@example.com' }
  assert.equal((await admin('POST', `/organizations/${id}/users/freeze`, unknown)).status, 404)
  for (const path of ['a%00', '%ED%A0%80', `${'x'.repeat(10_000)}`])
    assert.equal((await admin('GET', `/organizations/${path}`)).status, 404, path)
  const stats = (at: string) => admin('GET', `/stats?format=json&at=${encodeURIComponent(at)}`)
  for (const at of [
    '0000-01-01T00:00:00Z',
    '0001-01-01T00:00:00+23:59',
    '9999-12-31T23:59:59-23:59',
    '10000-01-01T00:00:00Z',
    '999999-12-31T23:59:59Z',
  ])
    badData(await stats(at), at)
  for (const at of ['0001-01-01T00:00:00Z', '9999-12-31T23:59:59Z']) assert.equal((await stats(at)).status, 200, at)
})

test('a misspelt setting is refused; the new state is the answer to who prefers it', async () => {
  const { id } = await client.org()
  badData(await admin('PATCH', `/organizations/${id}`, { active_user_limit: 3 }), 'misspelt')
  const changed = await admin(
    'PATCH',
    `/organizations/${id}`,
    { active_users_limit: 3 },
    { prefer: 'return=representation' },
  )
  assert.equal(changed.headers.get('preference-applied'), 'return=representation')
  assert.deepEqual(changed.json, (await admin('GET', `/organizations/${id}`)).json)
  assert.equal(changed.json.active_users_limit, 3)
})

test('every error under /administration is JSON', async () => {
  const answers = [
    await admin('GET', '/stats'),
    await admin('PUT', '/stats'),
    await admin('GET', '/no-such-path', undefined, { accept: 'application/json' }),
    await admin('POST', '/organizations', { padding: 'x'.repeat(1_048_576) }),
  ]
  assert.deepEqual(
    answers.map(({ status, json }) => [status, json.error]),
    [
      [400, 'bad_data'],
      [405, 'method_not_allowed'],
      [404, 'not_found'],
      [413, 'too_large'],
    ],
  )
})
