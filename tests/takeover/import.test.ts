/** Organizations of released servers move in: their devices see what they saw before (spec 07). */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import pg from 'pg'
import { createDatabase, type TestDatabase } from '../harness/backing.ts'
import { TcpProxy } from '../harness/tcp-proxy.ts'
import { dumpOf, expectedOf, keysOf, migrated, parsec, RELEASES, type Release, restore, writesOf } from './data-set.ts'
import { sorted } from './differences.ts'
import { serve } from './server.ts'
import { compare, snapshot } from './snapshot.ts'

/** One organization of so many is asked; with `STRIDE=1` all are. */
const STRIDE = Number(process.env['STRIDE'] ?? 20)
const NEWEST = RELEASES.at(-1)
const BACKUP = fileURLToPath(new URL('../../deploy/backup/', import.meta.url))
const script = (name: string, ...argv: string[]) => promisify(execFile)('sh', [join(BACKUP, name), ...argv])
const folder = await mkdtemp(join(tmpdir(), 'parsec-takeover-'))
const opened: TestDatabase[] = []
after(async () => {
  await Promise.all(opened.map(database => database.drop()))
  await rm(folder, { recursive: true, force: true })
})
const open = async (database: Promise<TestDatabase>): Promise<TestDatabase> => {
  opened.push(await database)
  return database
}

const sources = new Map<Release, TestDatabase>()
/** For tests that take an organization each. */
const shared = await open(migrated())
/** As it is before anything is taken. */
const empty = await open(migrated(shared))
before(async () => {
  for (const release of RELEASES) sources.set(release, await open(restore(release)))
})

for (const release of RELEASES)
  test(`what devices saw of ${release} they see here (07 §6)`, async t => {
    const source = sources.get(release)!
    const target = await open(migrated(empty))
    const keys = keysOf(release)
    const chosen = Object.keys(keys.organizations).filter((_, i) => i % STRIDE === 0)
    const before = { dump: await dumpOf(source), writes: await writesOf(source) }

    const report = join(folder, `${release}.jsonl`)
    const options = [`--from=${source.url}`, `--db=${target.url}`, `--report=${report}`]
    const selection = chosen.map(organization_id => `--organization=${organization_id}`)
    const imported = await parsec('import', ...options, ...selection, '--skip-verification', '--json')
    assert.ok([0, 3].includes(imported.code), imported.output)
    const end = JSON.parse(imported.output.trim().split('\n').at(-1)!) as { kind: string; taken: number }
    assert.deepEqual([end.kind, end.taken], ['end', chosen.length])
    assert.deepEqual(await writesOf(source), before.writes, 'nothing was written to the source')
    assert.equal(await dumpOf(source), before.dump, 'the source is as it was')
    await assertFigures(target)
    const verified = await parsec('import', ...options, ...selection, '--verify', '--blockstore=POSTGRESQL')
    assert.equal(verified.code, 0, verified.output)

    const again = await parsec('import', ...options, ...selection, '--json')
    assert.equal(again.code, 0, again.output)
    assert.match(again.output, new RegExp(`"taken":0,"checked":0,"skipped":${chosen.length}`))

    const expected = expectedOf(release)
    const differences = async (database: TestDatabase) => {
      await using server = await serve(database)
      const seen = await snapshot(server.url, keys, chosen)
      return sorted(
        release,
        chosen.flatMap(id => compare(expected[id], seen[id], [id])),
      )
    }
    const byRule = await differences(target)
    for (const [why, list] of byRule) t.diagnostic(`${list.length} differences: ${why}`)
    assert.deepEqual(byRule.get(null) ?? [], [])
    if (release !== NEWEST) return

    const backup = join(folder, 'backup')
    await script('backup.sh', backup, target.url)
    await target.drop()
    const restored = await open(createDatabase())
    await script('restore.sh', backup, restored.url)
    assert.deepEqual(await differences(restored), byRule, 'after everything was lost and restored')
  })

test('a name that is there already is refused, with all of its kind, before anything is copied (07 §1)', async () => {
  const source = sources.get('2.17.0')!
  const [first, second] = Object.keys(keysOf('2.17.0').organizations) as [string, string]
  await shared.query(
    `INSERT INTO organization (organization_id, bootstrap_token, user_profile_outsider_allowed, created_on)
     VALUES ($1, 'token', TRUE, now())`,
    [second],
  )
  const options = [`--from=${source.url}`, `--db=${shared.url}`, `--organization=${first}`, `--organization=${second}`]
  const refused = await parsec('import', ...options)
  assert.equal(refused.code, 1)
  assert.match(refused.output, new RegExp(`in --db already.*\\n${second}\\n$`))
  assert.equal(await isThere(first), false)
})

for (const option of ['from', 'db'] as const)
  test(`--${option} falls silent in the middle: the import says so and ends, and the next one takes it all`, async () => {
    const databases = { from: sources.get('2.17.0')!, db: await open(migrated(empty)) }
    const [organization_id] = Object.keys(keysOf('2.17.0').organizations) as [string]
    const importing = (urls: { from: string; db: string }, ...more: string[]) =>
      parsec('import', `--from=${urls.from}`, `--db=${urls.db}`, `--organization=${organization_id}`, ...more)
    const proxy = await TcpProxy.start(databases[option].url)
    const holder = new pg.Client({ connectionString: databases[option].url })
    await holder.connect()
    try {
      await holder.query('BEGIN; LOCK TABLE vlob_atom IN ACCESS EXCLUSIVE MODE')
      const urls = { from: databases.from.url, db: databases.db.url, [option]: proxy.url }
      const first = importing(urls, '--max-silence-seconds=3')
      const isHeld = async () =>
        (await databases[option].query("SELECT FROM pg_locks WHERE NOT granted AND relation = 'vlob_atom'::regclass"))
          .length > 0
      let hasEnded = false
      void first.then(() => (hasEnded = true))
      while (!hasEnded && !(await isHeld()));
      proxy.set({ kind: 'silent' })
      await holder.query('ROLLBACK')
      const { code, output } = await first
      assert.equal(code, 1)
      assert.match(
        output,
        new RegExp(`^Error: --${option}: the database \\S+ has been silent for 3 seconds: run this again`, 'm'),
      )
      assert.deepEqual(await databases.db.query('SELECT FROM organization'), [])
    } finally {
      await holder.end()
      await proxy.close()
    }
    const { code, output } = await importing({ from: databases.from.url, db: databases.db.url })
    assert.ok([0, 3].includes(code), output)
    assert.equal((await databases.db.query('SELECT FROM organization')).length, 1)
  })

test('tables without an index by organization are read for many organizations at once, not by each', async () => {
  const source = await open(restore('1.15.2'))
  const chosen = Object.keys(keysOf('1.15.2').organizations).slice(0, 40)
  // Of another organization: so many rows that nobody would read them for a few.
  await source.query(`
    INSERT INTO realm_user_role (realm, user_, role, certificate, certified_by, certified_on)
    SELECT realm, user_, role, certificate, certified_by, certified_on
    FROM (SELECT * FROM realm_user_role ORDER BY _id DESC LIMIT 1) last, generate_series(1, 50000);
    INSERT INTO message (organization, recipient, timestamp, index, sender, body)
    SELECT organization, recipient, timestamp, index + n, sender, body
    FROM (SELECT * FROM message ORDER BY _id DESC LIMIT 1) last, generate_series(1, 50000) n`)
  await source.query('VACUUM ANALYZE realm_user_role, message')
  const scans = async () => {
    await writesOf(source)
    return source.query<{ table: string; scans: number }>(
      `SELECT relname AS table, seq_scan::int AS scans FROM pg_stat_user_tables
       WHERE relname IN ('realm_user_role', 'message') ORDER BY 1`,
    )
  }
  const before = await scans()
  const options = [`--from=${source.url}`, `--db=${(await open(migrated(empty))).url}`, '--skip-verification']
  const report = `--report=${join(folder, 'read-once.jsonl')}`
  const { code, output } = await parsec('import', ...options, report, ...chosen.map(id => `--organization=${id}`))
  assert.ok([0, 3].includes(code), output)
  const after = await scans()
  for (const [i, { table, scans }] of after.entries())
    assert.ok(scans - before[i]!.scans < chosen.length / 2, `${table}: ${scans - before[i]!.scans} scans`)
})

test('certificates that do not verify refuse their organization, and say how to take it (07 §4)', async () => {
  const source = sources.get('2.17.0')!
  const bad = await source.query<{ organization_id: string }>(
    "SELECT organization_id FROM organization WHERE organization_id = 'Orgd6b3b3f504cb681c'",
  )
  const report = join(folder, 'refused.jsonl')
  const options = [`--from=${source.url}`, `--db=${shared.url}`, `--report=${report}`]
  const organization = `--organization=${bad[0]!.organization_id}`
  const checked = await parsec('import', ...options, organization, '--dry-run')
  assert.equal(checked.code, 1)
  const refused = await parsec('import', ...options, organization)
  assert.equal(refused.code, 1)
  assert.match(refused.output, /refused: 2 findings.*--skip-verification/)
  assert.equal(await isThere(bad[0]!.organization_id), false)
  assert.equal((await readFile(report, 'utf8')).trim().split('\n').length, 4)
  assert.equal((await parsec('import', ...options, organization, '--skip-verification')).code, 0)
})

test('rows that cannot be taken are left out, named, and told by the exit status (07 §4)', async () => {
  const source = sources.get('2.17.0')!
  const report = join(folder, 'left-out.jsonl')
  const done = await parsec(
    ...['import', `--from=${source.url}`, `--db=${shared.url}`, `--report=${report}`],
    '--organization=Org49442c9f70e6b897',
  )
  assert.equal(done.code, 3, done.output)
  const findings = (await readFile(report, 'utf8')).trim().split('\n')
  assert.deepEqual(
    findings.map(line => (JSON.parse(line) as { kind: string; table: string }).table),
    ['vlob_atom', 'realm_change'],
  )
})

test('what is not as in the source is told by --verify: who made it, who signed it, and chains that are broken (07 §4)', async () => {
  const source = sources.get('2.17.0')!
  const organization_id = 'Org812f17997e14c8bf'
  const options = [`--from=${source.url}`, `--db=${shared.url}`, `--organization=${organization_id}`]
  assert.equal((await parsec('import', ...options)).code, 0)
  const verify = () => parsec('import', ...options, '--verify', '--blockstore=POSTGRESQL')
  const same = await verify()
  assert.equal(same.code, 0, same.output)
  const own = `organization = (SELECT _id FROM organization WHERE organization_id = '${organization_id}')`
  const other = `(SELECT max(_id) FROM device WHERE ${own})`
  await shared.query(`
    UPDATE device SET device_certificate = set_byte(device_certificate, 5, (get_byte(device_certificate, 5) + 1) % 256) WHERE _id = ${other};
    UPDATE user_ SET user_certifier = ${other} WHERE ${own} AND user_certifier IS NOT NULL;
    UPDATE vlob_atom SET author = ${other} WHERE vlob = (SELECT min(_id) FROM vlob WHERE ${own});
    UPDATE realm_role SET role = 'READER' WHERE realm IN (SELECT _id FROM realm WHERE ${own});
    UPDATE block_data SET data = data || 'x' WHERE organization_id = '${organization_id}'`)
  const { code, output } = await verify()
  assert.equal(code, 1)
  for (const told of [
    /certificates of device differ/,
    /certificates of user_ differ, or who signed them/,
    /do not verify here: device \S+ does not lead back to the root key/,
    /vlob_atom: rows differ in who made them/,
    /realm_role: rows differ/,
    /block [0-9a-f-]{36}: \d+ bytes where \d+ belong/,
  ])
    assert.match(output, told)
})

test('what is no database of the original is refused by what it is (07 §2)', async () => {
  const strange = await open(restore('1.15.2'))
  const refusal = async (from: string) => {
    const { code, output } = await parsec('import', `--from=${from}`, `--db=${shared.url}`)
    assert.equal(code, 1)
    return output
  }
  assert.match(await refusal(shared.url), /a database of this server/)
  await strange.query('DELETE FROM migration WHERE _id > 4')
  assert.match(await refusal(strange.url), /level 4.*parsec backend migrate/)
  await strange.query("INSERT INTO migration VALUES (99, 'later', now())")
  assert.match(await refusal(strange.url), /level 99.*after v2\.17/)
  await strange.query("UPDATE migration SET name = 'other ' || _id")
  assert.match(await refusal(strange.url), /no database of a Parsec server/)
})

async function isThere(organization_id: string): Promise<boolean> {
  return (await shared.query('SELECT FROM organization WHERE organization_id = $1', [organization_id])).length > 0
}

/** Figures that are kept are those that counting gives. */
async function assertFigures(database: TestDatabase): Promise<void> {
  const wrong = await database.query(`
    SELECT realm._id FROM realm
    WHERE vlobs_size <> (SELECT coalesce(sum(size), 0) FROM realm_change WHERE realm = realm._id)
      OR vlobs_size + copies_size <> (SELECT coalesce(sum(size), 0) FROM vlob_atom JOIN vlob ON vlob._id = vlob WHERE vlob.realm = realm._id)
      OR (SELECT coalesce(sum(size), 0) FROM realm_blocks WHERE realm = realm._id) <> (SELECT coalesce(sum(size), 0) FROM block WHERE realm = realm._id AND deleted_on IS NULL)
      OR checkpoint < (SELECT coalesce(max(index), 0) FROM realm_change WHERE realm = realm._id)
    UNION ALL
    SELECT vlob._id FROM vlob WHERE version <> (SELECT max(version) FROM vlob_atom WHERE vlob = vlob._id)
      OR changed <> (SELECT coalesce(max(index), 0) FROM realm_change WHERE vlob = vlob._id)
    UNION ALL
    SELECT user_._id FROM user_ WHERE message_count <> (SELECT coalesce(max(index), 0) FROM message WHERE recipient = user_._id)
    UNION ALL
    SELECT tally.organization FROM organization_tally tally
    WHERE realms <> (SELECT count(*) FROM realm WHERE organization = tally.organization)
      OR data_size <> (SELECT coalesce(sum(size), 0) FROM block WHERE organization = tally.organization AND deleted_on IS NULL)
      OR metadata_size <> (SELECT coalesce(sum(vlob_atom.size), 0) FROM vlob_atom JOIN vlob ON vlob._id = vlob WHERE vlob.organization = tally.organization)
    UNION ALL
    SELECT organization._id FROM organization
    WHERE (SELECT coalesce(sum(active), 0) FROM organization_users WHERE organization = organization._id)
      <> (SELECT count(*) FROM user_ WHERE organization = organization._id AND revoked_on IS NULL)`)
  assert.deepEqual(wrong, [])
}
