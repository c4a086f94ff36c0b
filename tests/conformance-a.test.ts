/** The conformance suite on one process that keeps everything in memory, and the list of pending cases. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { conformance, unknownPending } from './harness/conformance.ts'

test('every pending name is the name of a case', async () => {
  assert.deepEqual(await unknownPending(), [])
})
await conformance('single')
