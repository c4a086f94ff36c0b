/**
 * An import of everything is killed ten times at random, then runs to its end: complete, equal to the source, which is as
 * it was. By hand, for minutes: `node --conditions=development --test tests/takeover/kills.manual.ts`; `KILLS=10`.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { NODE_ARGV } from '../harness/launch.ts'
import { dumpOf, expectedOf, keysOf, migrated, parsec, RELEASES, restore, writesOf } from './data-set.ts'
import { sorted } from './differences.ts'
import { serve } from './server.ts'
import { compare, snapshot } from './snapshot.ts'

const KILLS = Number(process.env['KILLS'] ?? 10)
/** Between which a kill comes: from the start of the process to where it has taken some organizations. */
const SOONEST_MS = 300
const LATEST_MS = 4_000

for (const release of RELEASES)
  test(`${release}: an import that is killed ${KILLS} times`, async t => {
    const source = await restore(release)
    const target = await migrated()
    const folder = await mkdtemp(join(tmpdir(), 'parsec-kills-'))
    try {
      const before = { dump: await dumpOf(source), writes: await writesOf(source) }
      const options = [`--from=${source.url}`, `--db=${target.url}`, `--report=${join(folder, 'report')}`]
      const argv = [...NODE_ARGV, 'backend', 'import', ...options, '--skip-verification']
      for (let n = 0; n < KILLS; n++) {
        const ms = SOONEST_MS + Math.random() * (LATEST_MS - SOONEST_MS)
        const child = spawn(process.execPath, argv, { stdio: 'ignore' })
        const timer = setTimeout(() => child.kill('SIGKILL'), ms)
        const [, signal] = await once(child, 'exit')
        clearTimeout(timer)
        const [row] = await target.query<{ there: number; complete: number }>(
          'SELECT (SELECT count(*) FROM organization)::int AS there, (SELECT count(*) FROM import_record WHERE completed_on IS NOT NULL)::int AS complete',
        )
        t.diagnostic(`${signal} after ${Math.round(ms)} ms: ${row!.there} organizations`)
        assert.equal(row!.there, row!.complete, 'no organization is there in part')
      }
      const done = await parsec('import', ...options, '--skip-verification', '--json')
      assert.ok([0, 3].includes(done.code), done.output)
      t.diagnostic(done.output.trim().split('\n').at(-1)!.slice(0, 200))
      const verified = await parsec('import', ...options, '--verify', '--blockstore=POSTGRESQL')
      assert.ok([0, 3].includes(verified.code), verified.output)
      t.diagnostic(verified.output.trim().split('\n').at(-1)!)
      assert.deepEqual(await writesOf(source), before.writes)
      assert.equal(await dumpOf(source), before.dump)

      const keys = keysOf(release)
      const chosen = Object.keys(keys.organizations)
      await using server = await serve(target)
      const seen = await snapshot(server.url, keys, chosen)
      const expected = expectedOf(release)
      const differences = chosen.flatMap(id => compare(expected[id], seen[id], [id]))
      assert.deepEqual(sorted(release, differences).get(null) ?? [], [])
    } finally {
      await Promise.all([source.drop(), target.drop(), rm(folder, { recursive: true, force: true })])
    }
  })
