/** Guesses of the administration token: one count for every way in. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { clientOf } from '../harness/client.ts'
import { ADMINISTRATION_TOKEN, Cluster } from '../harness/launch.ts'

const cluster = await Cluster.start({ topology: 'single' })
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
  assert.equal((await client.admin('GET', '/stats?format=json')).status, 200)
})
