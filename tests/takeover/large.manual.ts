/**
 * One organization with millions of rows moves in, out into a file, away, and in again from the file: how fast, and in how
 * much memory. By hand, for minutes:
 * `VERSIONS=2000000 node --conditions=development --test tests/takeover/large.manual.ts`.
 * `ARCHIVE=no` ends after the comparison; `ANALYZED=no` leaves the source without statistics, as a database is that was restored just now.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { setInterval } from 'node:timers/promises'
import type { TestDatabase } from '../harness/backing.ts'
import { NODE_ARGV } from '../harness/launch.ts'
import { migrated, parsec, restore } from './data-set.ts'

const VERSIONS = Number(process.env['VERSIONS'] ?? 100_000)
const BLOCKS = Number(process.env['BLOCKS'] ?? VERSIONS / 2)
/** Of each version; a multiple of 16. */
const VERSION_BYTES = Number(process.env['VERSION_BYTES'] ?? 128)
/** Of each block; a multiple of 32. */
const BLOCK_BYTES = Number(process.env['BLOCK_BYTES'] ?? 64)
const WITH_ARCHIVE = process.env['ARCHIVE'] !== 'no'
const IS_ANALYZED = process.env['ANALYZED'] !== 'no'
/** Of the set: with realms, whose certificates verify. */
const ORGANIZATION = 'Org812f17997e14c8bf'
const VERSIONS_OF_A_VLOB = 4
const MAX_RESIDENT = 300 * 2 ** 20
const SAMPLE_MS = 200
/** While it removes rows. */
const KILLED_AFTER_MS = 1_500

test(`${VERSIONS} versions and ${BLOCKS} blocks of one organization`, async t => {
  const source = await restore('2.17.0')
  const target = await migrated()
  const folder = await mkdtemp(join(tmpdir(), 'parsec-large-'))
  try {
    await enlarge(source)
    const options = [`--from=${source.url}`, `--db=${target.url}`, `--organization=${ORGANIZATION}`, '--json']
    const begun = performance.now()
    const { code, output, resident } = await watched('import', ...options)
    const seconds = (performance.now() - begun) / 1000
    assert.equal(code, 0, output)
    const end = JSON.parse(output.trim().split('\n').at(-1)!) as {
      tables: { [table: string]: { rows: number; bytes: number } }
    }
    const rows = Object.values(end.tables).reduce((sum, table) => sum + table.rows, 0)
    const [size] = await source.query<{ bytes: string }>('SELECT pg_database_size(current_database()) AS bytes')
    const megabytes = Number(size!.bytes) / 1e6
    t.diagnostic(
      `${rows} rows, ${Math.round(megabytes)} MB in ${seconds.toFixed(1)} s: ${Math.round(rows / seconds)} rows/s, ${(megabytes / seconds).toFixed(1)} MB/s, ${Math.round(resident / 2 ** 20)} MiB resident`,
    )
    assert.ok(resident < MAX_RESIDENT, `${resident} bytes resident`)
    const verified = await measured(t, 'verified', megabytes, 'import', ...options, '--verify')
    assert.match(verified, /"checked":1/)

    if (!WITH_ARCHIVE) return
    const archive = join(folder, 'archive.parsec')
    const own = [`--db=${target.url}`, '--blockstore=POSTGRESQL']
    const organization = `--organization=${ORGANIZATION}`
    const exporting = ['export', ...own, organization, '--blocks', `--output=${archive}`]
    await measured(t, 'exported', () => statSync(archive).size / 1e6, ...exporting)
    const written = statSync(archive).size / 1e6
    const confirmation = /--confirm (\w+)/.exec((await parsec('delete_organization', ...own, organization)).output)![1]
    const deletion = ['delete_organization', ...own, organization, `--confirm=${confirmation}`]
    await killed(KILLED_AFTER_MS, ...deletion)
    const left = await target.query('SELECT FROM organization')
    assert.equal(left.length, 1, 'its own row is the last that goes')
    await measured(t, 'deleted what was left', written, ...deletion)
    for (const table of ['organization', 'user_', 'vlob', 'vlob_atom', 'realm_change', 'block', 'block_data'])
      assert.equal((await target.query(`SELECT FROM ${table} LIMIT 1`)).length, 0, table)
    await measured(t, 'imported from the file', written, 'import', `--from=${archive}`, ...own)
  } finally {
    await Promise.all([source.drop(), target.drop(), rm(folder, { recursive: true, force: true })])
  }
})

/** Its output; says how fast it was for so many megabytes, and in how much memory. */
async function measured(t: TestContext, what: string, megabytes: number | (() => number), ...argv: string[]) {
  const begun = performance.now()
  const { code, output, resident } = await watched(...argv)
  const seconds = (performance.now() - begun) / 1000
  assert.equal(code, 0, output)
  const size = typeof megabytes === 'number' ? megabytes : megabytes()
  t.diagnostic(
    `${what}: ${Math.round(size)} MB in ${seconds.toFixed(1)} s, ${(size / seconds).toFixed(1)} MB/s, ${Math.round(resident / 2 ** 20)} MiB resident`,
  )
  assert.ok(resident < MAX_RESIDENT, `${resident} bytes resident`)
  return output
}

/** More versions and blocks, as if its first device had written them all. */
async function enlarge(source: TestDatabase): Promise<void> {
  const [{ organization, author }] = (await source.query<{ organization: number; author: number }>(
    `SELECT organization._id AS organization, min(device._id) AS author
     FROM organization JOIN device ON device.organization = organization._id
     WHERE organization_id = $1 GROUP BY 1`,
    [ORGANIZATION],
  )) as [{ organization: number; author: number }]
  const realms = `(
    SELECT realm._id AS realm, revision._id AS revision, row_number() OVER (ORDER BY realm._id) - 1 AS place, count(*) OVER () AS places,
      (SELECT coalesce(max(index), 0) FROM realm_vlob_update WHERE realm = realm._id) AS checkpoint
    FROM realm JOIN vlob_encryption_revision revision ON revision.realm = realm._id AND revision.encryption_revision = realm.encryption_revision
    WHERE realm.organization = ${organization}
  ) home`
  await source.query('ALTER TABLE vlob_atom ALTER COLUMN blob SET STORAGE EXTERNAL')
  await source.query('ALTER TABLE block_data ALTER COLUMN data SET STORAGE EXTERNAL')
  await source.query(`
    WITH made AS (
      INSERT INTO vlob_atom (organization, vlob_encryption_revision, vlob_id, version, blob, size, author, created_on)
      SELECT ${organization}, home.revision, md5('vlob' || n / ${VERSIONS_OF_A_VLOB})::uuid, n % ${VERSIONS_OF_A_VLOB} + 1,
        decode(repeat(md5(n::text), ${VERSION_BYTES / 16}), 'hex'), ${VERSION_BYTES}, ${author}, now() - interval '1 day'
      FROM generate_series(0, ${VERSIONS - 1}) n JOIN ${realms} ON home.place = n / ${VERSIONS_OF_A_VLOB} % home.places
      ORDER BY n
      RETURNING _id, vlob_encryption_revision AS revision
    )
    INSERT INTO realm_vlob_update (realm, index, vlob_atom)
    SELECT home.realm, home.checkpoint + row_number() OVER (PARTITION BY home.realm ORDER BY made._id), made._id
    FROM made JOIN ${realms} USING (revision)`)
  await source.query(`
    WITH made AS (
      INSERT INTO block (organization, block_id, realm, author, size, created_on)
      SELECT ${organization}, md5('block' || n)::uuid, home.realm, ${author}, ${BLOCK_BYTES}, now() - interval '1 day'
      FROM generate_series(0, ${BLOCKS - 1}) n JOIN ${realms} ON home.place = n % home.places
      RETURNING block_id
    )
    INSERT INTO block_data (organization_id, block_id, data)
    SELECT '${ORGANIZATION}', block_id, decode(repeat(md5(block_id::text), ${BLOCK_BYTES / 16}), 'hex') FROM made`)
  if (IS_ANALYZED) await source.query('ANALYZE')
}

async function killed(afterMs: number, ...argv: string[]): Promise<void> {
  const child = spawn(process.execPath, [...NODE_ARGV, 'backend', ...argv], { stdio: 'ignore' })
  const timer = setTimeout(() => child.kill('SIGKILL'), afterMs)
  await once(child, 'exit')
  clearTimeout(timer)
}

/** `parsec backend …`, and the most memory that it had. */
async function watched(...argv: string[]): Promise<{ code: number; output: string; resident: number }> {
  const child = spawn(process.execPath, [...NODE_ARGV, 'backend', ...argv], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exit = once(child, 'exit') as Promise<[number]>
  const output = text(child.stdout)
  let resident = 0
  const sample = async () => {
    for await (const _ of setInterval(SAMPLE_MS)) {
      if (child.exitCode !== null) return
      const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
      resident = Math.max(resident, Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024)
    }
  }
  const [[code]] = await Promise.all([exit, sample()])
  return { code, output: await output, resident }
}
