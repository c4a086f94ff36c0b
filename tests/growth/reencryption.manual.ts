/**
 * A realm of 2 000 versions of 200 KB is re-encrypted by batches of 1000 over NATS whose messages are smaller than such a
 * batch, and the metadata services stay small.
 */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { clientOf, Time } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'

const VERSIONS = 2_000
const BYTES = 200_000
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
    for (const name of ['metadata-1', 'metadata-2']) {
      const kibibytes = await peak(cluster.process(name).pid)
      assert.ok(kibibytes < MAX_KIBIBYTES, `${name} has used ${kibibytes} KiB`)
    }
  }
  await owner.ok('realm_finish_reencryption_maintenance', { realm_id, encryption_revision: 2 })
})

/** Most memory that a process ever had. */
async function peak(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)![1])
}
