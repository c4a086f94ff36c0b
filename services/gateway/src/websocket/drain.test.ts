import assert from 'node:assert/strict'
import { test } from 'node:test'
import { batchSize } from './drain.ts'

test('closes are spread over the grace period, few connections go at once', () => {
  assert.equal(batchSize(50, 10_000), 100)
  assert.equal(batchSize(7_000, 10_000), 100)
  assert.equal(batchSize(70_000, 10_000), 1_000)
  assert.equal(batchSize(5_000, 0), 5_000)
})
