/**
 * A cluster under faults at random, with clients that keep histories: nothing acknowledged is lost, nobody sees another
 * order, nobody acts beyond their role, every change is told once or the connection closes, no command hangs, and no
 * process ends by itself. The seed of a failure is in its text: `RANDOM_SEED` repeats it, `RANDOM_SECONDS` goes on longer.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { randomizedRun } from './random/run.ts'

const SECONDS = Number(process.env['RANDOM_SECONDS'] ?? 120)
const SEED = Number(process.env['RANDOM_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

test('whatever befalls the cluster, what clients were told holds', { timeout: SECONDS * 1_000 + 240_000 }, async t => {
  const report = await randomizedRun({ seconds: SECONDS, seed: SEED })
  t.diagnostic(`seed ${report.seed}, ${report.faults.length} faults, ${JSON.stringify(report.outcomes)}`)
  assert.deepEqual(report.violations, [], `seed ${report.seed}, faults: ${report.faults.join(', ')}`)
  assert.ok((report.outcomes['write ok'] ?? 0) > SECONDS, 'something was written between the faults')
})
