/** Budgets: their signal fires once, for the first of their reasons, and only while the work goes on. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { Budget } from './budget.ts'
import { Unavailable } from './errors.ts'

const LONG_MS = 60_000
const stopped = new Unavailable('stopped')

test('the signal fires when the time is over', async () => {
  const budget = new Budget(20)
  assert.equal(budget.share(LONG_MS) <= 20, true)
  // The budget's own timer does not keep a process alive.
  const alive = setTimeout(() => {}, LONG_MS)
  await once(budget.signal, 'abort')
  clearTimeout(alive)
  assert.match(String(budget.signal.reason), /not done within 20 ms/)
  assert.ok(budget.signal.reason instanceof Unavailable)
  assert.equal(budget.msLeft, 0)
})

test('a budget that was over before anybody asked for its signal has an aborted one', () => {
  assert.equal(new Budget(0).signal.aborted, true)
  const cancelled = new Budget(LONG_MS)
  cancelled.cancel(stopped)
  assert.equal(cancelled.signal.reason, stopped)
  assert.equal(cancelled.msLeft, 0)
})

test('the first reason counts: a caller that gives up, a process that stops', () => {
  const budget = new Budget(LONG_MS)
  const { signal } = budget
  assert.equal(signal.aborted, false)
  budget.cancel(stopped)
  budget.cancel(new Unavailable('given up'))
  assert.equal(signal.reason, stopped)
  assert.equal(budget.reason, stopped)
})

test('work that is done is not aborted any more', () => {
  const budget = new Budget(LONG_MS)
  const { signal } = budget
  budget.end()
  budget.cancel(stopped)
  assert.equal(signal.aborted, false)
})

test('listeners are told once, and not those that have left', () => {
  const budget = new Budget(LONG_MS)
  const told: string[] = []
  const [first, second, left] = ['first', 'second', 'left'].map(name => () => void told.push(name))
  for (const listener of [first!, left!, second!]) budget.addEventListener('abort', listener)
  budget.removeEventListener('abort', left!)
  budget.cancel(stopped)
  budget.cancel(new Unavailable('again'))
  budget.addEventListener('abort', left!)
  assert.deepEqual(told, ['first', 'second'])
  assert.equal(budget.aborted, true)
})

test('what races is freed by the end of the budget, or goes on beside it', async () => {
  const budget = new Budget(LONG_MS)
  assert.equal(await budget.race(Promise.resolve('done')), 'done')
  await assert.rejects(budget.race(Promise.reject(new Error('failed'))), /failed/)
  const racing = budget.race(new Promise(() => {}))
  budget.cancel(stopped)
  await assert.rejects(racing, stopped)
  await assert.rejects(budget.race(new Promise(() => {})), stopped)
})
