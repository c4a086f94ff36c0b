/** The conformance suite of the command line, and the list of pending cases. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cliConformance, unknownPending } from './harness/conformance.ts'

test('every pending name is the name of a case', async () => {
  assert.deepEqual(await unknownPending(), [])
})
await cliConformance()
