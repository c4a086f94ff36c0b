/** The broker says how large messages may be; when another one takes its place, what it says counts from then on. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { limits } from '@parsec/shared/limits'
import { clientOf, type Device, pack, Time, Uuid } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'
import { OwnNats } from '../harness/own-nats.ts'

/** What brokers have unless somebody changes it. */
const small = await OwnNats.prepare([`max_payload: ${1024 * 1024}`], 'small')
const large = await OwnNats.prepare([], 'large')
await small.up()
const nats = { url: `${small.url()},${large.url()}`, stop: async () => {} }
const cluster = await Cluster.start({ topology: 'twins', nats })
const client = clientOf(cluster)
after(async () => {
  assert.doesNotMatch(cluster.output, /Unexpected crash/)
  await client.end()
  await cluster.stop()
  await small.stop()
  await large.stop()
})
const { alice } = await client.org()
const owner = await client.connect(alice)
const realm_id = await client.realm(owner, alice)

const version = (blob: Buffer) => ({
  ...{ cmd: 'vlob_create', realm_id, vlob_id: new Uuid(), encryption_revision: 1, timestamp: Time.now(), blob },
})
/** Of a version with the largest binary value that there is: its status, or the code with which the connection ends. */
async function outcome(device: Device): Promise<string | number | undefined> {
  const connection = await client.connect(device)
  const reply = connection.cmd('vlob_create', version(Buffer.alloc(limits.bin.value)), 20_000).then(
    ({ status }) => status,
    () => undefined,
  )
  return (await reply) ?? connection.code
}
async function takesPlace(next: OwnNats, former: OwnNats): Promise<void> {
  await former.kill()
  await next.up()
  const isReady = async () =>
    (await Promise.all([...cluster.processes.values()].map(one => one.isReady()))).every(Boolean)
  for (let n = 0; n < 200 && !(await isReady()); n++) await pause(100)
}

test('a message that the broker does not carry is refused, whichever way it comes (DESIGN §2)', async () => {
  assert.equal(await outcome(alice), 1009)
  const around = pack(version(Buffer.alloc(limits.body.value / 2))).length - limits.body.value / 2
  const body = pack(version(Buffer.alloc(limits.body.value - around)))
  assert.equal(body.length, limits.body.value)
  const headers = {
    ...{ 'content-type': 'application/msgpack', 'api-version': '3.0' },
    author: Buffer.from(alice.device_id).toString('base64'),
    ...{ authorization: 'PARSEC-SIGN-ED25519', signature: alice.key.signature(body).toString('base64') },
  }
  assert.equal((await client.fetch(`/authenticated/${alice.org}`, { method: 'POST', headers, body })).status, 413)
})

test('what another broker carries counts as soon as it is there', async () => {
  await takesPlace(large, small)
  assert.equal(await outcome(alice), 'ok')
  await takesPlace(small, large)
  assert.equal(await outcome(alice), 1009)
})
