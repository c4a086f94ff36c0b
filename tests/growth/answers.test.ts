/** What would not fit into an answer comes in several, where the protocol has a next request (DESIGN §11). */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { limits } from '@parsec/shared/limits'
import { type Connection, type Context, clientOf, Time, type Uuid } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'

type Device = Awaited<ReturnType<Context['org']>>['alice']

describe('answers have a bound', () => {
  let cluster: Cluster
  let client: Context
  let alice: Device
  let connection: Connection
  before(async () => {
    cluster = await Cluster.start({ topology: 'shared', natsMaxPayload: 8 * 1024 * 1024 })
    client = clientOf(cluster)
    alice = (await client.org()).alice
    connection = await client.connect(alice)
  })
  after(async () => {
    await client?.end()
    await cluster?.stop()
  })
  const query = <Row extends object>(text: string, values: unknown[] = []) => cluster.database!.query<Row>(text, values)
  const keyOf = async (table: string, id: Uuid): Promise<string> =>
    (await query<{ _id: string }>(`SELECT _id FROM ${table} WHERE ${table}_id = $1`, [id.toString()]))[0]!._id

  test('a poll answers what fits, with the checkpoint of that', { timeout: 120_000 }, async () => {
    const realm_id = await client.realm(connection, alice)
    const realm = await keyOf('realm', realm_id)
    const most = limits.polled_vlobs.value
    // Each has changed once; the first again, after all others.
    await query(
      `INSERT INTO vlob (organization, vlob_id, realm, version, timestamp, changed)
       SELECT organization, gen_random_uuid(), _id, CASE n WHEN 1 THEN 2 ELSE 1 END, now(), CASE n WHEN 1 THEN ${most + 3} ELSE n END
       FROM realm, generate_series(1, ${most + 2}) AS n WHERE _id = $1`,
      [realm],
    )
    await query('UPDATE realm SET checkpoint = $2 WHERE _id = $1', [realm, most + 3])
    const first = await connection.ok('vlob_poll_changes', { realm_id, last_checkpoint: 0 })
    assert.deepEqual([Object.keys(first.changes).length, first.current_checkpoint], [most, most + 1])
    const last_checkpoint = first.current_checkpoint
    const second = await connection.ok('vlob_poll_changes', { realm_id, last_checkpoint })
    assert.deepEqual([Object.values(second.changes).toSorted(), second.current_checkpoint], [[1, 2], most + 3])
    const third = await connection.ok('vlob_poll_changes', { realm_id, last_checkpoint: most + 3 })
    assert.deepEqual([third.changes, third.current_checkpoint], [{}, most + 3])
  })

  test('the newest versions of a vlob are listed', { timeout: 120_000 }, async () => {
    const realm_id = await client.realm(connection, alice)
    const { vlob_id } = await client.vlob(connection, realm_id)
    const most = limits.listed_versions.value
    await query(
      `INSERT INTO vlob_atom (vlob, encryption_revision, version, blob, size, author, created_on)
       SELECT vlob, 1, n, blob, size, author, created_on FROM vlob_atom, generate_series(2, ${most + 1}) AS n WHERE vlob = $1`,
      [await keyOf('vlob', vlob_id)],
    )
    const { versions } = await connection.ok('vlob_list_versions', { vlob_id })
    const numbers = Object.keys(versions).map(Number)
    assert.deepEqual([numbers.length, numbers.includes(1), numbers.includes(2)], [most, false, true])
    assert.equal(versions[most + 1][1], alice.device_id)
  })

  test('an inbox is read to its end, however large its messages are', { timeout: 120_000 }, async () => {
    const bodies = 30
    // As they came before there was a bound; every third alone is more than a small answer holds.
    await query(
      `WITH counted AS (UPDATE user_ SET message_count = message_count + ${bodies} WHERE user_id = 'alice' RETURNING _id, message_count)
       INSERT INTO message (recipient, index, sender, timestamp, body)
       SELECT _id, message_count - ${bodies} + n, 'alice@dev1', now(), decode(repeat(lpad(to_hex(n), 2, '0'), 900000), 'hex')
       FROM counted, generate_series(1, ${bodies}) AS n`,
    )
    const { offsets, counts } = await readInbox(connection)
    assert.deepEqual(
      counts,
      Array.from({ length: bodies }, (_, i) => i + 1),
    )
    assert.ok(offsets.length > 3, `all in ${offsets.length} answers`)
  })

  test('a message that is larger than an answer should be comes alone', async () => {
    await query(
      `WITH counted AS (UPDATE user_ SET message_count = message_count + 2 WHERE user_id = 'alice' RETURNING _id, message_count)
       INSERT INTO message (recipient, index, sender, timestamp, body)
       SELECT _id, message_count - 2 + n, 'alice@dev1', now(), decode(repeat('aa', ${limits.listed_messages_bytes.value + 1}), 'hex')
       FROM counted, generate_series(1, 2) AS n`,
    )
    const [{ count }] = (await query<{ count: string }>(
      "SELECT message_count AS count FROM user_ WHERE user_id = 'alice'",
    )) as [{ count: string }]
    const { messages } = await connection.ok('message_get', { offset: Number(count) - 2 })
    assert.deepEqual([messages.length, messages[0]!.count], [1, Number(count) - 1])
  })

  test('a batch of large versions is smaller than was asked for, and the realm is re-encrypted all the same', {
    timeout: 120_000,
  }, async () => {
    const realm_id = await client.realm(connection, alice)
    const { vlob_id } = await client.vlob(connection, realm_id, { blob: Buffer.alloc(1) })
    const large = 40
    const bytes = 200_000
    for (let version = 2; version <= large + 1; version++)
      await connection.ok('vlob_update', {
        vlob_id,
        encryption_revision: 1,
        version,
        timestamp: Time.now(),
        blob: Buffer.alloc(bytes, version),
        sequester_blob: null,
      })
    const encryption_revision = 2
    await connection.ok('realm_start_reencryption_maintenance', {
      realm_id,
      encryption_revision,
      timestamp: Time.now(),
      per_participant_message: { [alice.user_id]: Buffer.from('key') },
    })
    const sizes: number[] = []
    for (;;) {
      const { batch } = await connection.ok('vlob_maintenance_get_reencryption_batch', {
        realm_id,
        encryption_revision,
        size: 1000,
      })
      if (batch.length === 0) break
      sizes.push(batch.length)
      const { total, done } = await connection.ok('vlob_maintenance_save_reencryption_batch', {
        realm_id,
        encryption_revision,
        batch,
      })
      assert.deepEqual([total, done], [large + 1, sizes.reduce((sum, n) => sum + n)])
    }
    assert.ok(Math.max(...sizes) <= limits.reencryption_batch_bytes.value / bytes + 1, `${sizes}`)
    await connection.ok('realm_finish_reencryption_maintenance', { realm_id, encryption_revision })
    const read = await connection.ok('vlob_read', { vlob_id, encryption_revision, version: large, timestamp: null })
    assert.ok(read.blob.equals(Buffer.alloc(bytes, large)))
  })
})

/** As clients do: each request goes on from the last message of the answer before. */
async function readInbox(connection: Connection): Promise<{ offsets: number[]; counts: number[] }> {
  const offsets: number[] = []
  const counts: number[] = []
  for (;;) {
    const offset = counts.at(-1) ?? 0
    const { messages } = await connection.ok('message_get', { offset })
    if (messages.length === 0) return { offsets, counts }
    offsets.push(offset)
    counts.push(...messages.map((message: { count: number }) => message.count))
  }
}
