import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EventQueue, MAX_PENDING_EVENTS } from './queue.ts'

const event = (n: number) => Buffer.from([n])

test('events come out oldest first (01-wire §10.4)', () => {
  const queue = new EventQueue()
  assert.equal(queue.shift(), undefined)
  for (const n of [1, 2, 3]) assert.ok(queue.push(event(n)))
  assert.deepEqual([queue.shift(), queue.shift(), queue.size], [event(1), event(2), 1])
  assert.ok(queue.push(event(4)))
  assert.deepEqual([queue.shift(), queue.shift(), queue.shift()], [event(3), event(4), undefined])
})
test('a hundred events wait, one more is not taken (01-wire#52)', () => {
  const queue = new EventQueue()
  for (let n = 0; n < MAX_PENDING_EVENTS; n++) assert.ok(queue.push(event(n)))
  assert.equal(queue.push(event(MAX_PENDING_EVENTS)), false)
  assert.equal(queue.size, 100)
  assert.deepEqual(queue.shift(), event(0))
  assert.ok(queue.push(event(MAX_PENDING_EVENTS)))
})
