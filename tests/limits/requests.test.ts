/** Requests that are too large for what they mean, on the wire: each is answered shortly, and the next one as usual. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { limits } from '@parsec/shared/limits'
import { Connection, certificate, clientOf, Device, pack, SigningKey, Time, Uuid, unpack } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'

/** Most bytes of a refusal. */
const SHORT = 4096
/** One letter and marks that normalising must sort, so many that it would take seconds to hours. */
const marks = (bytes: number) => `a${'\u0307\u0323'.repeat(bytes / 4)}`

const cluster = await Cluster.start({ topology: 'single' })
const client = clientOf(cluster)
after(async () => {
  await client.end()
  await cluster.stop()
})

async function refusal(connection: Connection, cmd: string, fields: { [field: string]: unknown }) {
  const bytes = (await connection.raw(pack({ cmd, ...fields }), 20_000)) as Buffer
  assert.ok(bytes.length <= SHORT, `${bytes.length} bytes`)
  return unpack(bytes)
}

test('a ping too long for an event is answered and told to nobody (01-wire §10.1)', async () => {
  const { alice } = await client.org()
  const connection = await client.connect(alice)
  const other = await client.connect(await client.device(connection, alice), { userAgent: 'parsec/2.13.0' })
  await other.ok('events_subscribe')
  const long = 'x'.repeat(8001)
  assert.equal((await connection.ok('ping', { ping: long })).pong, long)
  await connection.ok('ping', { ping: 'x'.repeat(8000) })
  assert.equal((await other.event()).ping, 'x'.repeat(8000))
  assert.equal((await refusal(connection, 'ping', { ping: 'x'.repeat(65_537) })).status, 'bad_message')
})

test('a request with many mistakes gets a short answer, and one with a million none of substance', async () => {
  const { alice } = await client.org()
  const connection = await client.connect(alice)
  const realm_id = await client.realm(connection, alice)
  const save = { realm_id, encryption_revision: 2 }
  for (const item of [0, {}, { vlob_id: 'x'.repeat(100), version: 'x', blob: null }])
    for (const length of [1000, 5000]) {
      const batch = Array(length).fill(item)
      const reply = await refusal(connection, 'vlob_maintenance_save_reencryption_batch', { ...save, batch })
      assert.equal(reply.status, 'bad_message')
    }
  const million = Buffer.concat([
    Buffer.from([0x84]),
    ...['cmd', 'vlob_maintenance_save_reencryption_batch', 'realm_id', realm_id, 'encryption_revision', 2, 'batch'].map(
      pack,
    ),
    Buffer.from([0xdd, 0, 0x0f, 0x42, 0x40]),
    Buffer.alloc(1_000_000),
  ])
  assert.equal(unpack((await connection.raw(million)) as Buffer).status, 'invalid_msg_format')
  const numbered = Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`user-${i}`, 0]))
  const others = [
    [
      'shamir_recovery_setup',
      {
        setup: {
          ciphered_data: Buffer.alloc(1),
          reveal_token: realm_id,
          brief: Buffer.alloc(1),
          shares: Array(20_000).fill(0),
        },
      },
    ],
    ['realm_start_reencryption_maintenance', { ...save, timestamp: Time.now(), per_participant_message: numbered }],
    [
      'vlob_update',
      {
        encryption_revision: 1,
        vlob_id: realm_id,
        timestamp: Time.now(),
        version: 1,
        blob: Buffer.alloc(1),
        sequester_blob: numbered,
      },
    ],
    ['invite_delete', { token: new Uuid(), reason: 'x'.repeat(500_000) }],
    ['human_find', { query: marks(500_000), omit_revoked: false, omit_non_human: false, page: 1, per_page: 1 }],
  ] as const
  for (const [cmd, fields] of others) assert.equal((await refusal(connection, cmd, fields)).status, 'bad_message', cmd)
  assert.equal((await connection.ok('ping', { ping: 'x' })).pong, 'x')
})

test('ids that would take hours to normalise are refused, by whoever they are sent', async () => {
  const { id, alice } = await client.org()
  const long = marks(300_000)
  // All that a handshake may have.
  const short = marks(60_000)
  for (const answer of [
    {
      type: 'AUTHENTICATED',
      organization_id: short,
      device_id: 'a@b',
      rvk: Buffer.alloc(32),
      answer: Buffer.alloc(64),
    },
    {
      type: 'AUTHENTICATED',
      organization_id: id,
      device_id: `a@${short}`,
      rvk: Buffer.alloc(32),
      answer: Buffer.alloc(64),
    },
    { type: 'INVITED', organization_id: short, invitation_type: 'USER', token: new Uuid() },
  ]) {
    const socket = await Connection.socket(client.url)
    const result = await socket.answer({ handshake: 'answer', client_api_version: [3, 2], ...answer })
    assert.equal(result.result, 'bad_protocol')
    assert.ok(pack(result).length <= SHORT)
  }
  const anonymous = await client.open({ anonymous: { organization_id: id } })
  const claims = [
    ['user_claim', { invited_user_id: long, encrypted_claim: Buffer.alloc(1) }],
    ['device_claim', { invited_device_id: `${long}@a`, encrypted_claim: Buffer.alloc(1) }],
    [
      'organization_bootstrap',
      {
        bootstrap_token: long,
        root_verify_key: Buffer.alloc(32),
        user_certificate: Buffer.alloc(1),
        device_certificate: Buffer.alloc(1),
      },
    ],
  ] as const
  for (const [cmd, fields] of claims) assert.equal((await refusal(anonymous, cmd, fields)).status, 'bad_message', cmd)
  const connection = await client.connect(alice)
  assert.equal((await refusal(connection, 'user_get', { user_id: long })).status, 'bad_message')
})

test('a label that inflates from two kilobytes is refused at bootstrap', async () => {
  const id = client.freshId()
  const root = new SigningKey()
  const bootstrap_token = await client.createOrganization(id)
  const device = new Device(id, root.verify, 'alice', 'dev1', { profile: 'ADMIN' })
  const timestamp = Time.now()
  const inflating = certificate(root, {
    type: 'device_certificate',
    author: null,
    timestamp,
    device_id: device.device_id,
    device_label: marks(1_000_000),
    verify_key: device.key.verify,
  })
  assert.ok(inflating.length < 2500, `${inflating.length} bytes`)
  const reply = await client.anonymous(id, 'organization_bootstrap', {
    bootstrap_token,
    root_verify_key: root.verify,
    ...device.certificates(null, root, timestamp),
    device_certificate: inflating,
    sequester_authority_certificate: null,
  })
  assert.equal(reply.status, 'invalid_certification')
  assert.doesNotMatch(String(reply.reason), /timestamp/)
})

test('one address may have so many handshakes at once, and then 503 (DESIGN §9)', async () => {
  const open: Socket[] = []
  /** The status of an upgrade. */
  const upgrade = async (): Promise<string> => {
    const socket = connect({ host: '127.0.0.1', port: Number(new URL(cluster.url).port) }).on('error', () => {})
    open.push(socket)
    socket.write(
      `GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${Buffer.alloc(16).toString('base64')}\r\n\r\n`,
    )
    const [head] = await once(socket, 'data')
    return String(head).split(' ', 2)[1]!
  }
  const most = limits.half_open_handshakes.value
  for (let n = 0; n < most; n += 256)
    assert.deepEqual([...new Set(await Promise.all(Array.from({ length: 256 }, upgrade)))], ['101'])
  assert.equal(await upgrade(), '503')
  for (const socket of open) socket.destroy()
  while ((await upgrade()) !== '101');
  open.at(-1)!.destroy()
})
