/** Admission: lanes, turns by organization, and what is refused at once. */
import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Budget } from '../budget.ts'
import { Unavailable } from '../errors.ts'
import { Admission, admissionOf, type GateOptions } from './admission.ts'

const LONG_MS = 60_000
const WIDE: GateOptions = { width: 100, share: 100, queue: 100 }

/** Work that ends when the test says so. */
class Work {
  readonly admission: Admission
  readonly started: string[] = []
  readonly #ends = new Map<string, () => void>()
  constructor(light: GateOptions, heavy = WIDE) {
    this.admission = new Admission({ light, heavy })
  }
  /** `name` is the organization, then what tells its requests apart. */
  ask(name: string, budget = new Budget(LONG_MS), lane: 'light' | 'heavy' = 'light'): Promise<string> {
    return this.admission.run(lane, name[0]!, budget, () => {
      this.started.push(name)
      return new Promise(resolve => this.#ends.set(name, () => resolve(name)))
    })
  }
  async end(...names: string[]): Promise<void> {
    for (const name of names) {
      this.#ends.get(name)!()
      await nextTurn()
    }
  }
}

test('organizations take turns, however much one of them has asked before', async () => {
  const work = new Work({ width: 1, share: 1, queue: 100 })
  const all = ['a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'c1'].map(name => work.ask(name))
  await work.end('a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4')
  await Promise.all(all)
  assert.deepEqual(work.started, ['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4'])
  assert.deepEqual(work.admission.figures().light.running, 0)
})

test('no organization fills the lane: the rest is for the others', async () => {
  const work = new Work({ width: 4, share: 2, queue: 100 })
  const all = ['a1', 'a2', 'a3', 'b1'].map(name => work.ask(name))
  assert.deepEqual(work.started, ['a1', 'a2', 'b1'])
  assert.equal(work.admission.figures().light.waiting, 1)
  await work.end('b1')
  assert.deepEqual(work.started, ['a1', 'a2', 'b1'])
  await work.end('a2', 'a1', 'a3')
  await Promise.all(all)
})

test('a full heavy lane does not hold up light requests', async () => {
  const work = new Work(WIDE, { width: 1, share: 1, queue: 100 })
  const heavy = ['a1', 'b1'].map(name => work.ask(name, new Budget(LONG_MS), 'heavy'))
  const light = work.ask('c1')
  assert.deepEqual(work.started, ['a1', 'c1'])
  await work.end('c1', 'a1', 'b1')
  await Promise.all([light, ...heavy])
})

test('what waits is refused when its time is over or its caller has gone', async () => {
  const work = new Work({ width: 1, share: 1, queue: 100 })
  const first = work.ask('a1')
  const given = new Budget(LONG_MS)
  const [late, gone] = [work.ask('a2', new Budget(20)), work.ask('b1', given)]
  given.cancel(new Unavailable('gone'))
  await assert.rejects(gone, /gone/)
  const alive = setTimeout(() => {}, LONG_MS)
  await assert.rejects(late, Unavailable)
  clearTimeout(alive)
  await work.end('a1')
  await first
  assert.deepEqual(work.started, ['a1'])
  assert.deepEqual(
    { ...work.admission.figures().light, waitedSeconds: 0 },
    { running: 0, waiting: 0, refused: 2, waitedSeconds: 0 },
  )
})

test('what cannot begin in time is refused at once', async () => {
  const work = new Work({ width: 1, share: 1, queue: 4 })
  const running = [work.ask('a1'), work.ask('a2'), work.ask('a3')]
  await assert.rejects(work.ask('a4'), /too much to do/, 'an organization has half of the queue')
  running.push(work.ask('b1'), work.ask('b2'))
  await assert.rejects(work.ask('c1'), /too much to do/, 'the queue is full')
  await work.end('a1', 'a2', 'b1')
  // By now the lane is known to be too slow for so short a budget.
  await assert.rejects(work.ask('c2', new Budget(0)), Unavailable)
  await work.end('a3', 'b2')
  await Promise.all(running)
})

test('a crowd that comes at once is let in, however long its first ones take to end; a lane that stays slow is not', async () => {
  let now = performance.now()
  const clock = mock.method(performance, 'now', () => now)
  try {
    const work = new Work({ width: 4, share: 4, queue: 200 })
    const names = Array.from({ length: 50 }, (_, i) => `a${i}`)
    const crowd = names.map(name => {
      now += 5
      return work.ask(name, new Budget(5000))
    })
    assert.equal(work.admission.figures().light.refused, 0)
    now += 1000
    await work.end('a0', 'a1', 'a2', 'a3')
    // Forty-two wait, and four a second end.
    await assert.rejects(work.ask('a50', new Budget(5000)), /too much to do/)
    const other = work.ask('b0', new Budget(5000))
    await work.end(...names.slice(4, 8), 'b0', ...names.slice(8))
    await Promise.all([...crowd, other])
  } finally {
    clock.mock.restore()
  }
})

test('a lane that was slow and is quick again lets in who fits into its time as it is now', async () => {
  let now = performance.now()
  const clock = mock.method(performance, 'now', () => now)
  try {
    const work = new Work({ width: 1, share: 1, queue: 100 })
    const names = Array.from({ length: 40 }, (_, i) => `a${i}`)
    const all = names.map(name => work.ask(name, new Budget(1_000_000)))
    for (const [i, name] of names.slice(0, 30).entries()) {
      now += i < 10 ? 2000 : 10
      await work.end(name)
    }
    all.push(work.ask('b0', new Budget(500)))
    assert.equal(work.admission.figures().light.refused, 0)
    await work.end('a30', 'a31', 'b0', ...names.slice(32))
    await Promise.all(all)
  } finally {
    clock.mock.restore()
  }
})

test('heavy requests of a thousand devices of one organization wait for their turn', async () => {
  const admission = admissionOf(1)
  const served = Array.from({ length: 1000 }, () =>
    admission.run('heavy', 'a', new Budget(LONG_MS), async () => 'done'),
  )
  assert.equal(new Set(await Promise.all(served)).size, 1)
})

test('when the service stops, what runs is told and nothing begins any more', async () => {
  const work = new Work({ width: 1, share: 1, queue: 4 })
  const running = new Budget(LONG_MS)
  const first = work.ask('a1', running)
  const waiting = work.ask('b1')
  const stop = new Unavailable('the server stops')
  const { signal } = running
  work.admission.stop(stop)
  assert.equal(signal.reason, stop)
  await assert.rejects(waiting, stop)
  await assert.rejects(work.ask('c1'), stop)
  await work.end('a1')
  await first
})
