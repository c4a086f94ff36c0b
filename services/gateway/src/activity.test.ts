/** The last hour of a gateway. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ACTIVITY_BOUNDS } from '@parsec/shared/protocol/replica'
import { Activity } from './activity.ts'

test('requests are counted by minute and duration, and an hour later forgotten', () => {
  const clock = { ms: 0 }
  const activity = new Activity(
    () => 7,
    () => clock.ms,
  )
  activity.request(0.0005)
  activity.request(0.003)
  activity.request(100)
  activity.failure()
  clock.ms = 61_000
  activity.request(0.001)
  const [first, second] = activity.minutes()
  assert.deepEqual([first!.minute, first!.requests, first!.errors, first!.connections], [0, 3, 1, 7])
  assert.deepEqual(
    first!.durations.flatMap((n, at) => (n > 0 ? [[ACTIVITY_BOUNDS[at] ?? 'more', n]] : [])),
    [
      [1, 1],
      [4, 1],
      ['more', 1],
    ],
  )
  assert.equal(second!.requests, 1)
  for (let minute = 2; minute < 1000; minute++) {
    clock.ms = minute * 60_000
    activity.request(0)
  }
  assert.equal(activity.minutes().length, 60)
  clock.ms = 5000 * 60_000
  assert.equal(activity.minutes().length, 1)
})

test('a clock that is set back counts on in its own minutes, and forgets those that are still to come', () => {
  const clock = { ms: 600_000 }
  const activity = new Activity(
    () => 0,
    () => clock.ms,
  )
  activity.request(0)
  clock.ms = 0
  activity.request(0)
  activity.request(0)
  assert.deepEqual(
    activity.minutes().map(({ minute, requests }) => [minute, requests]),
    [[0, 2]],
  )
})
