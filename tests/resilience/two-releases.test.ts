/**
 * This release and the next one side by side on one database and one broker, rolled forth and back under load; then the
 * next one beside the one after that. The next ones are this one with more in what they say; the schema is newer, too.
 * `two-releases.manual.ts` does it with a real earlier release.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NODE_ARGV, type Program } from '../harness/launch.ts'
import { misunderstandings, roll } from './random/rolling.ts'
import { randomizedRun } from './random/run.ts'

const EACH_MS = 3_000
const NEXT: Program = [`--import=${import.meta.resolve('./random/next-release.ts')}`, ...NODE_ARGV]

async function sideBySide(older: Program, newer: Program, env = {}): Promise<void> {
  const report = await randomizedRun({
    seconds: 1,
    seed: 3,
    launch: { topology: 'twins', programs: { 'server-1': older, 'server-2': older }, env },
    befall: async cluster => {
      await cluster.database!.query('ALTER TABLE realm ADD COLUMN of_the_next TEXT')
      await cluster.database!.query(
        `INSERT INTO migration (_id, name, applied, checksum) VALUES (9999, '9999_next', now(), 'of the next release')`,
      )
      await roll(cluster, newer, EACH_MS)
      await roll(cluster, older, EACH_MS)
      return []
    },
  })
  assert.deepEqual(report.violations, [])
  assert.deepEqual(misunderstandings(report.outcomes), [])
  assert.ok((report.outcomes['write ok'] ?? 0) > 20, JSON.stringify(report.outcomes))
}

test('this release and the next one work side by side, in both directions', () => sideBySide(NODE_ARGV, NEXT))
