import assert from 'node:assert/strict'
import { beforeEach, mock, test } from 'node:test'
import { EVENT_GAP_MS, FIRST_EVENT_MS } from '@parsec/shared/deadlines'
import { EventOrder, MAX_WAITING } from './order.ts'

const told: number[] = []
const missed: number[] = []
beforeEach(() => {
  told.length = 0
  missed.length = 0
  mock.timers.reset()
  mock.timers.enable({ apis: ['setTimeout'] })
})
const order = () =>
  new EventOrder<number>(
    change => told.push(change),
    next => missed.push(next),
  )
const add = (changes: EventOrder<number>, ...checkpoints: number[]) => {
  for (const checkpoint of checkpoints) changes.add('realm', checkpoint, checkpoint)
}

test('changes that come in order are told at once', () => {
  add(order(), 1, 2, 3)
  assert.deepEqual(told, [1, 2, 3])
})
test('a change that overtook waits for the one before', () => {
  const changes = order()
  add(changes, 1, 3, 4)
  assert.deepEqual(told, [1])
  add(changes, 2)
  assert.deepEqual(told, [1, 2, 3, 4])
})
test('the first change of a realm waits a moment for an earlier one', () => {
  const changes = order()
  add(changes, 8, 7)
  assert.deepEqual(told, [])
  mock.timers.tick(FIRST_EVENT_MS)
  assert.deepEqual(told, [7, 8])
  assert.deepEqual(missed, [], 'what came before it is not known')
  add(changes, 9)
  assert.deepEqual(told, [7, 8, 9])
})
test('a gap ends after a while: something was missed; what comes late is told all the same', () => {
  const changes = order()
  add(changes, 1, 4, 3)
  assert.deepEqual(missed, [])
  mock.timers.tick(EVENT_GAP_MS)
  assert.deepEqual(missed, [3])
  assert.deepEqual(told, [1, 3, 4])
  add(changes, 2, 5)
  assert.deepEqual(told, [1, 3, 4, 2, 5])
  mock.timers.tick(EVENT_GAP_MS)
  assert.deepEqual(missed, [3])
})
test('no more than MAX_WAITING changes wait', () => {
  const changes = order()
  const [third, ...later] = Array.from({ length: MAX_WAITING + 1 }, (_, i) => i + 3)
  add(changes, 1, ...later, third!)
  assert.equal(told.length, MAX_WAITING + 2)
  assert.deepEqual(missed, [third])
})
test('each gap is a loss of its own', () => {
  const changes = order()
  add(changes, 1, 3, 4, 6)
  mock.timers.tick(EVENT_GAP_MS)
  assert.deepEqual(
    [told, missed],
    [
      [1, 3, 4, 6],
      [3, 6],
    ],
  )
})
test('the first ones that are heard start a series, a gap between them is waited for', () => {
  const changes = order()
  add(changes, 5, 7)
  mock.timers.tick(FIRST_EVENT_MS)
  assert.deepEqual([told, missed], [[5], []])
  add(changes, 6)
  assert.deepEqual(told, [5, 6, 7])
  mock.timers.tick(EVENT_GAP_MS)
  assert.deepEqual(missed, [])
})
test('a gap is waited for as long as any other, however short a time after one that was filled', () => {
  const changes = order()
  add(changes, 1, 3)
  mock.timers.tick(EVENT_GAP_MS - 1)
  add(changes, 2, 5)
  mock.timers.tick(EVENT_GAP_MS - 1)
  assert.deepEqual([told, missed], [[1, 2, 3], []])
  mock.timers.tick(1)
  assert.deepEqual(missed, [5])
})
test('realms do not wait for each other', () => {
  const changes = order()
  add(changes, 1, 3)
  changes.add('other', 1, 100)
  assert.deepEqual(told, [1, 100])
})
test('what is cleared is forgotten', () => {
  const changes = order()
  add(changes, 1, 3)
  changes.clear()
  mock.timers.tick(EVENT_GAP_MS)
  assert.deepEqual(told, [1])
})
test('the first event of all starts its series, even when the second was faster', () => {
  const events = order()
  add(events, 2, 1)
  assert.deepEqual(told, [1, 2])
})
test('a series whose newest index is known waits for nothing before it', () => {
  const events = order()
  events.startAfter('realm', 7)
  add(events, 8, 10, 9)
  assert.deepEqual(told, [8, 9, 10])
  events.startAfter('realm', 3)
  add(events, 11)
  assert.deepEqual(told, [8, 9, 10, 11])
})
test('events that came before the start was known are told when it is', () => {
  const events = order()
  add(events, 6, 5)
  events.startAfter('realm', 5)
  assert.deepEqual(told, [6, 5])
})
