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
  assert.equal(new Budget(LONG_MS, AbortSignal.abort(stopped)).signal.reason, stopped)
  const cancelled = new Budget(LONG_MS)
  cancelled.cancel(stopped)
  assert.equal(cancelled.signal.reason, stopped)
  assert.equal(cancelled.msLeft, 0)
})

test('the first reason counts: a caller that gives up, a process that stops', () => {
  const stopping = new AbortController()
  const budget = new Budget(LONG_MS, stopping.signal)
  const { signal } = budget
  assert.equal(signal.aborted, false)
  stopping.abort(stopped)
  budget.cancel(new Unavailable('given up'))
  assert.equal(signal.reason, stopped)
  assert.equal(budget.reason, stopped)
})

test('work that is done is not aborted any more', () => {
  const stopping = new AbortController()
  const budget = new Budget(LONG_MS, stopping.signal)
  const { signal } = budget
  budget.end()
  stopping.abort(stopped)
  budget.cancel(stopped)
  assert.equal(signal.aborted, false)
})
