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
import { setTimeout as pause } from 'node:timers/promises'
import { NODE_ARGV } from '../harness/launch.ts'
import { dumpOf, expectedOf, keysOf, migrated, parsec, RELEASES, restore, writesOf } from './data-set.ts'
import { sorted } from './differences.ts'
import { serve } from './server.ts'
import { compare, snapshot } from './snapshot.ts'

const KILLS = Number(process.env['KILLS'] ?? 10)
const LOOK_MS = 10

for (const release of RELEASES)
  test(`${release}: an import that is killed ${KILLS} times`, async t => {
    const source = await restore(release)
    const target = await migrated()
    const folder = await mkdtemp(join(tmpdir(), 'parsec-kills-'))
    try {
      const before = { dump: await dumpOf(source), writes: await writesOf(source) }
      const options = [`--from=${source.url}`, `--db=${target.url}`, `--report=${join(folder, 'report')}`]
      const argv = [...NODE_ARGV, 'backend', 'import', ...options, '--skip-verification']
      const look = async () => {
        const [row] = await target.query<{ there: number; complete: number }>(
          'SELECT (SELECT count(*) FROM organization)::int AS there, (SELECT count(*) FROM import_record WHERE completed_on IS NOT NULL)::int AS complete',
        )
        return row!
      }
      const most = Object.keys(keysOf(release).organizations).length / KILLS
      for (let n = 0; n < KILLS; n++) {
        // Somewhere among the next ones, however fast the machine is.
        const wanted = (await look()).there + Math.random() * most
        const child = spawn(process.execPath, argv, { stdio: 'ignore' })
        const ended = once(child, 'exit')
        while (child.exitCode === null && (await look()).there < wanted) await pause(LOOK_MS)
        child.kill('SIGKILL')
        const [, signal] = await ended
        const { there, complete } = await look()
        t.diagnostic(`${signal} with ${there} organizations`)
        assert.equal(signal, 'SIGKILL')
        assert.equal(there, complete, 'no organization is there in part')
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
