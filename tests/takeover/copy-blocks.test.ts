/** Blocks leave the old server's database for a store of files, twice each, and a copy that dies goes on (spec 07 §5). */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setInterval } from 'node:timers/promises'
import { NODE_ARGV } from '../harness/launch.ts'
import { migrated, parsec, restore } from './data-set.ts'

const ORGANIZATION = 'Org812f17997e14c8bf'
const BLOCKS = 500
const POLL_MS = 5

test('every block is in both nodes after an import that was killed between them', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'parsec-copy-blocks-'))
  const nodes = [join(folder, 'a'), join(folder, 'b')]
  const source = await restore('2.17.0')
  const target = await migrated()
  try {
    for (const node of nodes) await mkdir(node)
    await source.query(`
      WITH made AS (
        INSERT INTO block (organization, block_id, realm, author, size, created_on)
        SELECT block.organization, md5('block' || n)::uuid, block.realm, block.author, 160, block.created_on
        FROM generate_series(1, ${BLOCKS}) n, (
          SELECT block.* FROM block JOIN organization ON organization._id = block.organization
          WHERE organization_id = '${ORGANIZATION}' LIMIT 1
        ) block
        RETURNING block_id
      )
      INSERT INTO block_data (organization_id, block_id, data)
      SELECT '${ORGANIZATION}', block_id, decode(repeat(md5(block_id::text), 10), 'hex') FROM made`)
    const options = [
      ...[`--from=${source.url}`, `--db=${target.url}`, `--organization=${ORGANIZATION}`],
      ...nodes.map((node, i) => `--blockstore=RAID1:${i}:file:${node}`),
    ]
    const copied = async (): Promise<string | null> => {
      const rows = await target.query<{ up_to: string | null }>('SELECT blocks_up_to::text AS up_to FROM import_record')
      return rows[0]?.up_to ?? null
    }
    const child = spawn(process.execPath, [...NODE_ARGV, 'backend', 'import', ...options, '--copy-blocks'], {
      stdio: 'ignore',
    })
    const exit = once(child, 'exit')
    for await (const _ of setInterval(POLL_MS)) if (child.exitCode !== null || (await copied()) !== null) break
    child.kill('SIGKILL')
    assert.deepEqual(await exit, [null, 'SIGKILL'])
    assert.equal((await target.query('SELECT FROM organization')).length, 0, 'blocks come before their organization')
    const reached = await copied()
    const contents = await source.query<{ id: string; data: Buffer }>(
      `SELECT block_id::text AS id, data FROM block_data WHERE organization_id = '${ORGANIZATION}' ORDER BY block_id`,
    )
    assert.ok(reached !== null && reached < contents.at(-1)!.id, 'some blocks are still to come')

    const done = await parsec('import', ...options, '--copy-blocks', '--json')
    assert.equal(done.code, 0, done.output)
    for (const node of nodes) {
      const files = await filesIn(join(node, ORGANIZATION))
      assert.equal(files.size, contents.length)
      for (const { id, data } of contents) assert.deepEqual(await readFile(files.get(id)!), data)
    }
    assert.equal((await target.query('SELECT FROM block_data')).length, 0)
    const verified = await parsec('import', ...options, '--verify')
    assert.equal(verified.code, 0, verified.output)
  } finally {
    await Promise.all([source.drop(), target.drop(), rm(folder, { recursive: true, force: true })])
  }
})

/** Path of each, by name. */
async function filesIn(folder: string): Promise<Map<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return new Map(entries.filter(entry => entry.isFile()).map(entry => [entry.name, join(entry.parentPath, entry.name)]))
}
