/** The randomized run notices servers that are broken on purpose, each in one place; five minutes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BREAKS } from './random/break.ts'
import { randomizedRun } from './random/run.ts'

const BREAK = import.meta.resolve('./random/break.ts')
const SECONDS = 20

for (const [name, { noticed }] of Object.entries(BREAKS))
  test(`noticed: ${name}`, { timeout: 300_000 }, async () => {
    const env = { BREAK: name }
    const { violations } = await randomizedRun({
      seconds: SECONDS,
      seed: 1,
      launch: { nodeArgv: [`--import=${BREAK}`], env },
      befall: async () => [],
    })
    assert.ok(
      violations.some(line => noticed.test(line)),
      violations.join('\n') || 'no violation',
    )
  })
