import assert from 'node:assert/strict'
import { test } from 'node:test'
import { limits } from '@parsec/shared/limits'
import { EventQueue, QueuedBytes } from './queue.ts'

const event = (n: number) => Buffer.from([n])
const most = limits.queued_events.value

test('events come out oldest first (01-wire §10.4)', () => {
  const queue = new EventQueue(new QueuedBytes())
  assert.equal(queue.shift(), undefined)
  for (const n of [1, 2, 3]) assert.ok(queue.push(event(n), false))
  assert.deepEqual([queue.shift(), queue.shift(), queue.size], [event(1), event(2), 1])
  assert.ok(queue.push(event(4), false))
  assert.deepEqual([queue.shift(), queue.shift(), queue.shift()], [event(3), event(4), undefined])
})
test('a hundred events wait, one more is not taken (01-wire#52)', () => {
  const queue = new EventQueue(new QueuedBytes())
  for (let n = 0; n < most; n++) assert.ok(queue.push(event(n), false))
  assert.equal(queue.push(event(most), false), false)
  assert.equal(queue.size, 100)
  assert.deepEqual(queue.shift(), event(0))
  assert.ok(queue.push(event(most), false))
})
test('events without fields are told one by one, and merge when many wait (03-users §7.8)', () => {
  const queue = new EventQueue(new QueuedBytes())
  assert.ok(queue.push(event(1), true))
  assert.ok(queue.push(event(2), false))
  for (let n = 0; n < 2 * most; n++) assert.ok(queue.push(event(1), true))
  assert.equal(queue.size, 11)
  const told = Array.from({ length: 12 }, () => queue.shift()?.[0])
  assert.deepEqual(told, [1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, undefined])
  assert.ok(queue.push(event(1), true))
  assert.equal(queue.size, 1)
})
test('queues are bounded in bytes, each and all together, and what leaves makes room', () => {
  const all = new QueuedBytes()
  const large = new EventQueue(all)
  const half = Buffer.alloc(limits.queued_event_bytes.value / 2)
  assert.ok(large.push(half, false) && large.push(half, false))
  assert.equal(large.push(event(1), false), false)
  large.shift()
  assert.ok(large.push(event(1), false))

  all.total += limits.all_queued_event_bytes.value
  const small = new EventQueue(all)
  const share = Buffer.alloc(limits.queued_events_share.value)
  assert.ok(small.push(share, false), 'a small share is everybody’s')
  assert.equal(small.push(event(1), false), false)
  all.total -= limits.all_queued_event_bytes.value
  assert.ok(small.push(event(1), false))
  small.clear()
  large.clear()
  assert.deepEqual([all.total, small.size], [0, 0])
})
