/** A realm with many versions is re-encrypted by two of its owners at once while its members go on reading. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, test } from 'node:test'
import { type Connection, clientOf, Time, Uuid } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'

const VLOBS = 200
const VERSIONS = 50
const TOTAL = VLOBS * VERSIONS
/** Most items of a batch that clients ask for. */
const BATCH = 1000
const WRITERS = 4
const READERS = 2

const cluster = await Cluster.start({ topology: 'cluster' })
const client = clientOf(cluster)
after(async () => {
  await client.end()
  await cluster.stop()
})

/** What a version holds, so that nothing of 10 000 blobs needs to be remembered. */
const blobOf = (vlob_id: Uuid, version: number, revision: number): Buffer =>
  createHash('sha512').update(`${vlob_id} ${version} ${revision}`).digest()

test(`${TOTAL} versions are re-encrypted while readers read (05-data §8)`, { timeout: 240_000 }, async () => {
  const { alice } = await client.org()
  const owner = await client.connect(alice)
  const bob = await client.user(owner, alice, 'bob')
  const realm_id = await client.realm(owner, alice)
  assert.equal((await client.share(owner, alice, realm_id, 'bob', 'READER')).status, 'ok')
  const vlobs = Array.from({ length: VLOBS }, () => new Uuid())
  const writers = await Promise.all(Array.from({ length: WRITERS }, () => client.connect(alice)))
  await Promise.all(
    writers.map((writer, i) =>
      write(
        writer,
        realm_id,
        vlobs.filter((_, n) => n % WRITERS === i),
      ),
    ),
  )
  const checkpoint = (await owner.ok('vlob_poll_changes', { realm_id, last_checkpoint: 0 })).current_checkpoint
  assert.equal(checkpoint, TOTAL)

  const listener = await client.connect(bob)
  await listener.ok('events_subscribe')
  const state = { finishing: false, finished: false }
  const readers = await Promise.all(Array.from({ length: READERS }, () => client.connect(bob)))
  const per_participant_message = { alice: Buffer.from('a'), bob: Buffer.from('b') }
  const encryption_revision = 2
  await owner.ok('realm_start_reencryption_maintenance', {
    realm_id,
    encryption_revision,
    timestamp: Time.now(),
    per_participant_message,
  })
  const started = await listener.event()
  assert.deepEqual([started.event, started.encryption_revision], ['realm.maintenance_started', 2])
  const reading = readers.map(reader => read(reader, vlobs, state))
  await Promise.all([owner, await client.connect(alice)].map(each => reencrypt(each, realm_id)))
  state.finishing = true
  await owner.ok('realm_finish_reencryption_maintenance', { realm_id, encryption_revision })
  state.finished = true
  const counts = await Promise.all(reading)
  for (const { old, renewed } of counts)
    assert.ok(old > 0 && renewed > 0, `read ${old} old and ${renewed} new versions`)

  // Everything is there in the new revision, as it was written, and nobody has been told of a change.
  await Promise.all(
    writers.map((writer, i) =>
      check(
        writer,
        vlobs.filter((_, n) => n % WRITERS === i),
      ),
    ),
  )
  const polled = await owner.ok('vlob_poll_changes', { realm_id, last_checkpoint: 0 })
  assert.equal(polled.current_checkpoint, checkpoint)
  assert.equal((await listener.event()).event, 'message.received')
  assert.equal((await listener.event()).event, 'realm.maintenance_finished')
})

async function write(writer: Connection, realm_id: Uuid, vlobs: readonly Uuid[]): Promise<void> {
  for (const vlob_id of vlobs)
    for (let version = 1; version <= VERSIONS; version++) {
      const content = {
        encryption_revision: 1,
        vlob_id,
        timestamp: Time.now(),
        blob: blobOf(vlob_id, version, 1),
      }
      if (version === 1) await writer.ok('vlob_create', { realm_id, ...content })
      else await writer.ok('vlob_update', { version, ...content })
    }
}

/** One owner's share of the work, until every version is saved. */
async function reencrypt(owner: Connection, realm_id: Uuid): Promise<void> {
  const common = { realm_id, encryption_revision: 2 }
  for (;;) {
    const { batch } = await owner.ok('vlob_maintenance_get_reencryption_batch', { ...common, size: BATCH })
    const renewed = batch.map(({ vlob_id, version, blob }: { vlob_id: Uuid; version: number; blob: Uint8Array }) => {
      assert.ok(blobOf(vlob_id, version, 1).equals(blob))
      return { vlob_id, version, blob: blobOf(vlob_id, version, 2) }
    })
    const { total, done } = await owner.ok('vlob_maintenance_save_reencryption_batch', { ...common, batch: renewed })
    assert.equal(total, TOTAL)
    if (done === total) return
  }
}

/** Reads until the new revision has been read: the old one to the end, the new one only from then on. */
async function read(
  reader: Connection,
  vlobs: readonly Uuid[],
  state: { finishing: boolean; finished: boolean },
): Promise<{ old: number; renewed: number }> {
  const counts = { old: 0, renewed: 0 }
  const asked = { revision: 1 }
  for (let n = 0; counts.renewed < VERSIONS; n++) {
    const [vlob_id, version] = [vlobs[n % VLOBS]!, 1 + (n % VERSIONS)]
    const { revision } = asked
    const wasFinished = state.finished
    const request = { encryption_revision: revision, vlob_id, version, timestamp: null }
    const reply = await reader.cmd('vlob_read', request)
    if (reply.status === 'ok') {
      assert.ok(blobOf(vlob_id, version, revision).equals(reply.blob))
      assert.ok(revision === 1 ? !wasFinished : state.finishing, `revision ${revision} was readable at a wrong time`)
      if (revision === 1) counts.old++
      else counts.renewed++
      if (n % VERSIONS === 0 && revision === 1) {
        const { status } = await reader.cmd('vlob_read', { ...request, encryption_revision: 2 })
        assert.ok(status === 'in_maintenance' || (state.finishing && status === 'ok'), status)
      }
    } else {
      assert.ok(revision === 1 && state.finishing, `revision ${revision} answered ${reply.status}`)
      assert.equal(reply.status, 'bad_encryption_revision')
      asked.revision = 2
    }
  }
  return counts
}

async function check(reader: Connection, vlobs: readonly Uuid[]): Promise<void> {
  for (const vlob_id of vlobs) {
    const { versions } = await reader.ok('vlob_list_versions', { vlob_id })
    assert.equal(Object.keys(versions).length, VERSIONS)
    for (let version = 1; version <= VERSIONS; version++) {
      const reply = await reader.ok('vlob_read', { encryption_revision: 2, vlob_id, version, timestamp: null })
      assert.ok(blobOf(vlob_id, version, 2).equals(reply.blob))
      assert.equal(reply.author, 'alice@dev1')
    }
  }
}
