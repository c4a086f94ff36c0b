/** Blocks go where the server looks for them, whatever an import before was told (spec 07 §5). */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { TestDatabase } from '../harness/backing.ts'
import { migrated, parsec, restore } from './data-set.ts'
import { serve } from './server.ts'

/** With blocks. */
const ORGANIZATION = 'Org812f17997e14c8bf'
const folder = await mkdtemp(join(tmpdir(), 'parsec-stores-'))
const empty = await migrated()
const source = await restore('2.17.0')
const opened: TestDatabase[] = [empty, source]
const blocks = (await source.query(`SELECT FROM block_data WHERE organization_id = '${ORGANIZATION}'`)).length
after(async () => {
  await Promise.all(opened.map(database => database.drop()))
  await rm(folder, { recursive: true, force: true })
})

async function target(): Promise<TestDatabase> {
  const database = await migrated(empty)
  opened.push(database)
  return database
}
/** A store of files of its own, as the value of an option. */
async function files(name: string): Promise<{ path: string; option: string }> {
  const path = join(folder, name)
  await mkdir(path)
  return { path, option: `--blockstore=file:${path}` }
}
const countIn = async (path: string): Promise<number> =>
  (await readdir(join(path, ORGANIZATION), { recursive: true, withFileTypes: true })).filter(entry => entry.isFile())
    .length
const importing = (database: TestDatabase, ...more: string[]) =>
  parsec(
    ...['import', `--from=${source.url}`, `--db=${database.url}`, `--organization=${ORGANIZATION}`],
    ...[`--report=${join(folder, 'report')}`, ...more],
  )

/** An import with `--copy-blocks` that ends when all blocks are where `option` says, and nothing else is. */
async function interrupted(database: TestDatabase, option: string): Promise<void> {
  await database.query(`
    CREATE FUNCTION interrupt() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'No space left on device'; END $$;
    CREATE TRIGGER interrupt BEFORE INSERT ON vlob_atom EXECUTE FUNCTION interrupt()`)
  const { code, output } = await importing(database, '--copy-blocks', option)
  assert.equal(code, 1, output)
  assert.match(output, /^Error: --db: the database \S+ failed: No space left on device: run this again/m)
  await database.query('DROP TRIGGER interrupt ON vlob_atom')
  assert.equal((await database.query('SELECT FROM organization')).length, 0)
}

test('blocks that an interrupted import wrote elsewhere are written again to the store of the next', async () => {
  const database = await target()
  const [wrong, right] = [await files('wrong'), await files('right')]
  await interrupted(database, wrong.option)
  assert.ok(blocks > 0)
  assert.equal(await countIn(wrong.path), blocks)
  const { code, output } = await importing(database, '--copy-blocks', right.option)
  assert.equal(code, 0, output)
  assert.equal(await countIn(right.path), blocks)
  const verified = await importing(database, '--verify', right.option)
  assert.equal(verified.code, 0, verified.output)
})

test('blocks that an interrupted import left in the database do not stop the next', async () => {
  const database = await target()
  await interrupted(database, '--blockstore=POSTGRESQL')
  assert.equal((await database.query('SELECT FROM block_data')).length, blocks)
  const { code, output } = await importing(database)
  assert.equal(code, 0, output)
  const verified = await importing(database, '--verify', '--blockstore=POSTGRESQL')
  assert.equal(verified.code, 0, verified.output)
})

test('blocks that stay in the database of the source are told, and the exit status is that of what was left out', async () => {
  const database = await target()
  const { option } = await files('empty')
  const checked = await importing(database, '--dry-run', option)
  assert.equal(checked.code, 3, checked.output)
  assert.match(checked.output, new RegExp(`left out: block_data ${blocks} blocks: .*--copy-blocks`))
  assert.equal((await importing(database, '--dry-run', '--copy-blocks', option)).code, 0)
  assert.equal((await importing(database, option)).code, 3)
})

test('an import writes no block to a store that is not that of the server of its database', async () => {
  const database = await target()
  const [own, other] = [await files('own'), await files('other')]
  await using _ = await serve(database, own.option.replace('--blockstore=', ''))
  const elsewhere = await target()
  assert.equal((await importing(elsewhere)).code, 0)
  const archive = join(folder, 'archive.parsec')
  const organization = `--organization=${ORGANIZATION}`
  const exported = await parsec(
    ...['export', `--db=${elsewhere.url}`, organization, '--blocks', '--blockstore=POSTGRESQL', `--output=${archive}`],
  )
  assert.equal(exported.code, 0, exported.output)
  const refused = [
    await importing(database, '--copy-blocks', other.option),
    await parsec('import', `--from=${archive}`, `--db=${database.url}`, other.option),
  ]
  for (const { code, output } of refused) {
    assert.equal(code, 1, output)
    assert.match(output, /^Error: node 0 \(file \S+\) has lost its marker/m)
  }
  assert.equal((await readdir(other.path)).includes(ORGANIZATION), false)
})
