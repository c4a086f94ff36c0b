/** An organization leaves: as a file, for good, and to another server (spec 07). */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { TestDatabase } from '../harness/backing.ts'
import { keysOf, migrated, parsec, restore } from './data-set.ts'
import { serve } from './server.ts'
import { compare, type Json, snapshot } from './snapshot.ts'

/** Blocks and versions; a recovery; a person more. */
const ORGANIZATIONS = ['Org812f17997e14c8bf', 'Org00bf44f9ac85e0ae', 'Org121e3912bfd4703c']
const FIRST = ORGANIZATIONS[0]!
const keys = keysOf('2.17.0')
const folder = await mkdtemp(join(tmpdir(), 'parsec-archive-'))
const here = await migrated()
const there = await migrated(here)
const empty = await migrated(here)
before(async () => {
  const source = await restore('2.17.0')
  const chosen = ORGANIZATIONS.map(organization_id => `--organization=${organization_id}`)
  const { code, output } = await parsec('import', `--from=${source.url}`, `--db=${here.url}`, ...chosen)
  await source.drop()
  assert.equal(code, 0, output)
  // One block is deleted, and others missed a node of the store that they were in.
  await here.query(`
    WITH gone AS (
      UPDATE block SET deleted_on = now() WHERE _id = (SELECT min(_id) FROM block) RETURNING block_id, realm, size
    ), counted AS (
      UPDATE realm_blocks SET size = realm_blocks.size - gone.size, is_untallied = TRUE
      FROM gone WHERE gone.realm = realm_blocks.realm
    )
    DELETE FROM block_data WHERE block_id = (SELECT block_id FROM gone)`)
  await here.query(`UPDATE block SET missed_nodes = '{0}' WHERE deleted_on IS NULL`)
})
after(async () => {
  await Promise.all([here, there, empty].map(database => database.drop()))
  await rm(folder, { recursive: true, force: true })
})

const options = (database: TestDatabase) => [`--db=${database.url}`, '--blockstore=POSTGRESQL']
const archiveOf = (organization_id: string) => join(folder, `${organization_id}.parsec`)

test('exported, deleted, and imported elsewhere, devices see what they saw', async () => {
  const before = await (async () => {
    await using server = await serve(here)
    return await snapshot(server.url, keys, ORGANIZATIONS)
  })()
  for (const organization_id of ORGANIZATIONS) {
    const organization = `--organization=${organization_id}`
    const archive = archiveOf(organization_id)
    const exported = await parsec('export', ...options(here), organization, '--blocks', `--output=${archive}`)
    assert.equal(exported.code, 0, exported.output)
    const shown = await parsec('delete_organization', ...options(here), organization)
    const code = /--confirm (\w+)/.exec(shown.output)![1]!
    const refused = await parsec('delete_organization', ...options(here), organization, '--confirm=00000000')
    assert.equal(refused.code, 1)
    const deleted = await parsec('delete_organization', ...options(here), organization, `--confirm=${code}`)
    assert.equal(deleted.code, 0, deleted.output)
    const imported = await parsec('import', `--from=${archive}`, ...options(there))
    assert.equal(imported.code, 0, imported.output)
  }
  for (const table of ['organization', 'user_', 'realm', 'vlob_atom', 'block', 'block_data', 'import_record'])
    assert.equal((await here.query(`SELECT FROM ${table}`)).length, 0, table)

  assert.deepEqual(await there.query('SELECT FROM block WHERE missed_nodes IS NOT NULL'), [])

  await using server = await serve(there)
  const seen = await snapshot(server.url, keys, ORGANIZATIONS)
  assert.deepEqual(compare(before as Json, seen as Json), [])
})

test('a file that is cut off or altered is refused, and nothing of it is there', async () => {
  const whole = await readFile(archiveOf(FIRST))
  const damaged = join(folder, 'damaged.parsec')
  const { size } = await stat(archiveOf(FIRST))
  for (const at of [40, Math.floor(size / 2), size - 40]) {
    const altered = Buffer.from(whole)
    altered[at]! ^= 1
    for (const bytes of at === 40 ? [altered, whole.subarray(0, at)] : [altered]) {
      await writeFile(damaged, bytes)
      const { code, output } = await parsec('import', `--from=${damaged}`, ...options(empty))
      assert.equal(code, 1, output)
      assert.equal((await empty.query('SELECT FROM organization')).length, 0)
    }
  }
  const again = await parsec('import', `--from=${archiveOf(FIRST)}`, ...options(there))
  assert.equal(again.code, 1)
  assert.match(again.output, /is in --db already/)
})

/** Sections without pieces, whole as they are. */
function archived(...heads: object[]): Buffer {
  const hash = createHash('sha256')
  const parts: Buffer[] = []
  const add = (bytes: Buffer) => {
    hash.update(bytes)
    parts.push(bytes)
  }
  add(Buffer.from('parsec organization archive 1\n'))
  for (const head of heads.map(head => Buffer.from(JSON.stringify(head)))) {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(head.length)
    for (const bytes of [length, head, Buffer.alloc(4)]) add(bytes)
    add(hash.copy().digest())
  }
  return Buffer.concat(parts)
}

test('a whole file that this release does not understand, or whose blocks have no place, is refused', async () => {
  const [{ level } = { level: 0 }] = await empty.query<{ level: number }>(
    'SELECT max(_id)::int AS level FROM migration',
  )
  const begin = { section: 'archive', organization_id: 'Org', level, release: 'x', exported_on: '', blocks: false }
  const columns = ['_id FROM organization; DROP TABLE device']
  const refused = [
    [[{ ...begin, level: level - 1 }], /has schema level \d+, made by release x/],
    [[begin, { section: 'rows', table: 'organization', columns, types: ['bigint'] }], /is not that of this release/],
    [[{ ...begin, blocks: true }], /'--blockstore' says where to write them/],
  ] as const
  await Promise.all(
    refused.map(async ([heads, why], i) => {
      const path = join(folder, `strange-${i}`)
      await writeFile(path, archived(...heads))
      const { code, output } = await parsec('import', `--from=${path}`, `--db=${empty.url}`)
      assert.equal(code, 1)
      assert.match(output, why)
    }),
  )
  assert.equal((await empty.query('SELECT FROM organization')).length, 0)
})
