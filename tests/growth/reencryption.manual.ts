/**
 * What is larger than a message of the bus, over NATS: a realm of 2 000 versions of 200 KB is re-encrypted by batches of
 * 1000, and an inbox of 200 messages of 900 KB is read to its end. The metadata services stay small. By hand:
 *
 *   node --conditions=development --test tests/growth/reencryption.manual.ts
 */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import { clientOf, Time } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'

const VERSIONS = 2_000
const BYTES = 200_000
const MESSAGES = 200
const MESSAGE_BYTES = 900_000
const MAX_KIBIBYTES = 400 * 1024

test(`${VERSIONS} versions of ${BYTES} bytes are re-encrypted`, async t => {
  const cluster = await Cluster.start({ topology: 'cluster', natsMaxPayload: 8 * 1024 * 1024 })
  const client = clientOf(cluster)
  t.after(async () => {
    await client.end()
    await cluster.stop()
  })
  const { alice } = await client.org()
  const owner = await client.connect(alice)
  const realm_id = await client.realm(owner, alice)
  const { vlob_id } = await client.vlob(owner, realm_id, { blob: Buffer.alloc(BYTES) })
  for (let version = 2; version <= VERSIONS; version++)
    await owner.ok('vlob_update', {
      vlob_id,
      encryption_revision: 1,
      version,
      timestamp: Time.now(),
      blob: Buffer.alloc(BYTES, version),
      sequester_blob: null,
    })
  await owner.ok('realm_start_reencryption_maintenance', {
    realm_id,
    encryption_revision: 2,
    timestamp: Time.now(),
    per_participant_message: { [alice.user_id]: Buffer.from('key') },
  })
  for (let left = VERSIONS; left > 0; ) {
    const request = { realm_id, encryption_revision: 2 }
    const { batch } = await owner.ok('vlob_maintenance_get_reencryption_batch', { ...request, size: 1000 })
    assert.ok(batch.length > 0, 'no work, but not all is done')
    const { total, done } = await owner.ok('vlob_maintenance_save_reencryption_batch', { ...request, batch })
    left = total - done
  }
  await owner.ok('realm_finish_reencryption_maintenance', { realm_id, encryption_revision: 2 })
  await staySmall(cluster, t)
})

test(`an inbox of ${MESSAGES} messages of ${MESSAGE_BYTES} bytes is read to its end`, async t => {
  const cluster = await Cluster.start({ topology: 'cluster', natsMaxPayload: 8 * 1024 * 1024 })
  const client = clientOf(cluster)
  t.after(async () => {
    await client.end()
    await cluster.stop()
  })
  const { id, alice } = await client.org()
  // As they came before there was a bound.
  await cluster.database!.query(
    `WITH counted AS (
       UPDATE user_ SET message_count = message_count + ${MESSAGES}
       WHERE user_id = 'alice' AND organization = (SELECT _id FROM organization WHERE organization_id = '${id}')
       RETURNING _id, message_count
     )
     INSERT INTO message (recipient, index, sender, timestamp, body)
     SELECT _id, n, 'alice@dev1', now(), decode(repeat(lpad(to_hex(n), 2, '0'), ${MESSAGE_BYTES}), 'hex')
     FROM counted, generate_series(1, ${MESSAGES}) AS n`,
  )
  const reader = await client.connect(alice)
  let read = 0
  let answers = 0
  for (; read < MESSAGES; answers++) {
    const { messages } = await reader.ok('message_get', { offset: read })
    assert.ok(messages.length > 0, `nothing after message ${read}`)
    for (const { count, body } of messages) {
      assert.equal(count, ++read)
      assert.equal(body.length, MESSAGE_BYTES)
      assert.equal(body[0], count % 256)
    }
  }
  t.diagnostic(`${answers} answers`)
  await staySmall(cluster, t)
})

async function staySmall(cluster: Cluster, t: TestContext): Promise<void> {
  for (const name of ['metadata-1', 'metadata-2']) {
    const kibibytes = await peak(cluster.process(name).pid)
    t.diagnostic(`${name}: ${Math.round(kibibytes / 1024)} MiB at most`)
    assert.ok(kibibytes < MAX_KIBIBYTES, `${name} has used ${kibibytes} KiB`)
  }
}

/** Most memory that a process ever had. */
async function peak(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)![1])
}
