/** Figures that are kept where they change are what counting gives (05-data §13), and blocks overtake no change of a role. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import pg from 'pg'
import { type Connection, type Context, clientOf, Time, Uuid } from '../harness/client.ts'
import { ADMINISTRATION_TOKEN, Cluster } from '../harness/launch.ts'

type Device = Awaited<ReturnType<Context['org']>>['alice']

/** More than are read beside an organization's tally. */
const REALMS = 130
const WRITERS = 4
/** Of the lock beside a realm's row. */
const BESIDE = 'pg_advisory_xact_lock_shared(1380272461, (_id % 2147483648)::int)'

describe('figures', () => {
  let cluster: Cluster
  let client: Context
  let alice: Device
  let writers: Connection[]
  /** Of another organization. */
  let stranger: Device
  before(async () => {
    cluster = await Cluster.start({ topology: 'shared' })
    client = clientOf(cluster)
    alice = (await client.org()).alice
    stranger = (await client.org()).alice
    writers = await Promise.all(Array.from({ length: WRITERS }, () => client.connect(alice)))
  })
  after(async () => {
    await client?.end()
    await cluster?.stop()
  })
  const query = <Row extends object>(text: string, values: unknown[] = []) => cluster.database!.query<Row>(text, values)

  /** What an administrator is told, and what there is. */
  async function statistics(admin = writers[0]!, { org } = alice) {
    // The clock of this process may be ahead of the database's by a little.
    const early = `SELECT FROM early_version WHERE created_on BETWEEN now() AND now() + interval '1 minute'`
    while ((await query(early)).length > 0);
    const { status: _, ...told } = await admin.ok('organization_stats')
    const [counted] = await query<{ data_size: string; metadata_size: string; realms: string }>(
      `SELECT (SELECT sum(size) FROM block WHERE organization = organization._id) AS data_size,
         (SELECT sum(atom.size) FROM vlob JOIN vlob_atom atom ON vlob = vlob._id
          WHERE organization = organization._id AND atom.created_on <= now()) AS metadata_size,
         (SELECT count(*) FROM realm WHERE organization = organization._id) AS realms
       FROM organization WHERE organization_id = $1`,
      [org],
    )
    return {
      told: [told.data_size, told.metadata_size, told.realms],
      counted: [Number(counted!.data_size), Number(counted!.metadata_size), Number(counted!.realms)],
      users: told.users_per_profile_detail as { profile: string; active: number; revoked: number }[],
    }
  }

  test('figures are exact after writes at once, a re-encryption and statistics meanwhile', {
    timeout: 120_000,
  }, async () => {
    const realms: Uuid[] = []
    const everywhere = (write: (writer: Connection, n: number) => Promise<unknown>) =>
      Promise.all(
        writers.map(async (writer, w) => {
          for (let n = w; n < REALMS; n += WRITERS) await write(writer, n)
        }),
      )
    await everywhere(async (writer, n) => {
      const realm_id = await client.realm(writer, alice)
      realms.push(realm_id)
      await client.vlob(writer, realm_id, { blob: Buffer.alloc(n + 1) })
      if (n % 10 === 0) await writer.ok('organization_stats')
    })
    const realm_id = realms[0]!
    // Several in one slot of the realm's blocks, on all replicas
    const addBlocks = () =>
      Promise.all(
        writers.flatMap(writer =>
          Array.from({ length: 5 }, (_, n) =>
            writer.ok('block_create', { block_id: new Uuid(), realm_id, block: Buffer.alloc(1000 + n) }),
          ),
        ),
      )
    await addBlocks()
    const other = await client.connect(stranger)
    const theirs = await client.realm(other, stranger)
    await client.vlob(other, theirs)
    await other.ok('block_create', { block_id: new Uuid(), realm_id: theirs, block: Buffer.alloc(50) })
    const exact = async () => {
      for (const who of [undefined, undefined, other]) {
        const { told, counted } = await statistics(who, who && stranger)
        assert.deepEqual(told, counted)
      }
    }
    await exact()
    // What is in the tally changes, and is brought in again.
    for (const _ of ['once', 'again']) {
      await addBlocks()
      await everywhere((writer, n) => client.vlob(writer, realms[n]!))
      await exact()
    }

    const [owner] = writers as [Connection]
    await client.vlob(owner, realms[1]!, { timestamp: Time.now().plus(300) })
    await exact()
    await owner.ok('realm_start_reencryption_maintenance', {
      realm_id,
      encryption_revision: 2,
      timestamp: Time.now(),
      per_participant_message: { [alice.user_id]: Buffer.from('key') },
    })
    const request = { realm_id, encryption_revision: 2 }
    const { batch } = await owner.ok('vlob_maintenance_get_reencryption_batch', { ...request, size: 10 })
    for (const _ of ['once', 'again']) {
      const { total, done } = await owner.ok('vlob_maintenance_save_reencryption_batch', { ...request, batch })
      assert.deepEqual([total, done], [3, 3])
    }
    await owner.ok('realm_finish_reencryption_maintenance', request)
    const third = await statistics()
    assert.deepEqual(third.told, third.counted)
    for (const realm of realms.slice(0, 3)) {
      const { blocks_size, vlobs_size } = await owner.ok('realm_stats', { realm_id: realm })
      const [counted] = await query<{ blocks: string; vlobs: string }>(
        `SELECT (SELECT coalesce(sum(size), 0) FROM block WHERE realm = realm._id) AS blocks,
           (SELECT coalesce(sum(size), 0) FROM realm_change WHERE realm = realm._id) AS vlobs
         FROM realm WHERE realm_id = $1`,
        [realm.toString()],
      )
      assert.deepEqual([blocks_size, vlobs_size], [Number(counted!.blocks), Number(counted!.vlobs)])
    }
    const [{ tallied }] = (await query<{ tallied: string }>(
      'SELECT metadata_size AS tallied FROM organization_tally',
    )) as [{ tallied: string }]
    assert.ok(Number(tallied) > 0, 'nothing was brought into the tally')
  })

  test('people are counted as they come and go', async () => {
    const [owner] = writers as [Connection]
    await client.user(owner, alice, 'bob')
    await client.user(owner, alice, 'carol')
    await client.revoke(owner, alice, 'carol')
    const { users } = await statistics()
    const counted = await query<{ profile: string; active: number; revoked: number }>(
      `SELECT profile, count(*) FILTER (WHERE revoked_on IS NULL)::int AS active,
         count(*) FILTER (WHERE revoked_on IS NOT NULL)::int AS revoked
       FROM user_ JOIN organization ON organization._id = organization WHERE organization_id = $1 GROUP BY profile`,
      [alice.org],
    )
    for (const { profile, active, revoked } of users) {
      const row = counted.find(one => one.profile === profile)
      assert.deepEqual([active, revoked], [row?.active ?? 0, row?.revoked ?? 0], profile)
    }
  })

  test('figures at an instant are of what was there then: not what was deleted, written or revoked at another', async () => {
    const toldAt = async (at: string) => {
      const headers = { authorization: `Bearer ${ADMINISTRATION_TOKEN}` }
      const { json } = await client.fetch(`/administration/stats?format=json&at=${at}`, { headers })
      const { stats } = json as { stats: { organization_id: string; data_size: number }[] }
      return stats.find(({ organization_id }) => organization_id === alice.org)!
    }
    await statistics()
    const now = await toldAt('')
    const own = `organization = (SELECT _id FROM organization WHERE organization_id = '${alice.org}')`
    const [gone] = await query<{ size: string }>(
      `UPDATE block SET deleted_on = now() - interval '1 hour' WHERE _id = (SELECT min(_id) FROM block WHERE ${own}) RETURNING size`,
    )
    await query(
      `UPDATE block SET deleted_on = now() + interval '1 hour' WHERE _id = (SELECT max(_id) FROM block WHERE ${own})`,
    )
    await query(`UPDATE user_ SET revoked_on = now() + interval '1 hour' WHERE user_id = 'bob' AND ${own}`)
    const [{ at } = { at: '' }] = await query<{ at: string }>(
      `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at`,
    )
    assert.deepEqual(await toldAt(at), { ...now, data_size: now.data_size - Number(gone!.size) })
  })

  test('a block that comes after a change of a role waits behind it (05-data §15)', async () => {
    const [owner, other] = writers as [Connection, Connection]
    const realm_id = await client.realm(owner, alice)
    await client.user(owner, alice, 'dave')
    const committer = new pg.Client({ connectionString: cluster.database!.url })
    await committer.connect()
    try {
      await committer.query('BEGIN')
      await committer.query(`SELECT ${BESIDE} FROM realm WHERE realm_id = $1`, [realm_id.toString()])
      const waiting = async (count: number) => {
        const waiters = `SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
        while ((await query(waiters)).length < count);
      }
      const sharing = client.share(owner, alice, realm_id, 'dave', 'CONTRIBUTOR')
      await waiting(1)
      const adding = other.cmd('block_create', { block_id: new Uuid(), realm_id, block: Buffer.alloc(10) })
      await waiting(2)
      await committer.query('COMMIT')
      assert.deepEqual([(await sharing).status, (await adding).status], ['ok', 'ok'])
    } finally {
      await committer.end()
    }
  })
})
