/**
 * An earlier release (`PREVIOUS=<commit>`, by default the last tag, or the oldest commit with the same form of messages)
 * and this one on one database and one broker: ten minutes of load, rolled forth and back twice.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDatabase } from '../harness/backing.ts'
import { migrate, NODE_ARGV } from '../harness/launch.ts'
import { checkOut, previousCommit } from '../harness/release.ts'
import { misunderstandings, roll } from './random/rolling.ts'
import { randomizedRun } from './random/run.ts'

const SECONDS = Number(process.env['RELEASES_SECONDS'] ?? 600)
const ROLLS = 4
const PROCESSES = 7

test('an earlier release and this one side by side: nobody notices but by connecting anew', {
  timeout: SECONDS * 1_000 + 900_000,
}, async t => {
  const previous = await checkOut(await previousCommit())
  const database = await createDatabase()
  const eachMs = (SECONDS * 1_000) / (ROLLS * PROCESSES)
  try {
    await migrate(database.url, process.env, previous.program)
    const names = ['metadata-1', 'metadata-2', 'blockstore-1', 'blockstore-2', 'gateway-1', 'gateway-2', 'admin-1']
    const report = await randomizedRun({
      seconds: SECONDS,
      seed: 11,
      launch: {
        topology: 'pairs',
        database,
        programs: Object.fromEntries(names.map(name => [name, previous.program])),
      },
      befall: async cluster => {
        await migrate(database.url, process.env)
        for (let i = 0; i < ROLLS; i++) await roll(cluster, i % 2 === 0 ? NODE_ARGV : previous.program, eachMs)
        return []
      },
    })
    t.diagnostic(`${previous.commit}: ${JSON.stringify(report.outcomes)}`)
    assert.deepEqual(report.violations, [])
    assert.deepEqual(misunderstandings(report.outcomes), [])
  } finally {
    await previous.remove()
  }
})
