import assert from 'node:assert/strict'
import { test } from 'node:test'
import { alarms } from './alarms.ts'

test('alarms ring when it is time, in any order, and not when they were cleared', async () => {
  const now = performance.now()
  const rung: number[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  const set = [90, 30, 60].map(ms => alarms.set(now + ms, () => rung.push(ms)))
  alarms.clear(set[2]!)
  alarms.set(now + 150, resolve)
  await promise
  assert.deepEqual(rung, [30, 90])
  assert.ok(performance.now() >= now + 150)
})

test('an alarm may set and clear others when it rings', async () => {
  const now = performance.now()
  const { promise, resolve } = Promise.withResolvers<void>()
  alarms.set(now, () => {
    alarms.clear(other)
    alarms.set(now, resolve)
  })
  const other = alarms.set(now, assert.fail)
  await promise
})
