/** Places on a back end: bounded, fair between organizations, and free as soon as the work has ended. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NodeQueue } from './node-queue.ts'
import { StoreError } from './store.ts'

const WIDTH = 8
/** What one owner may have of them. */
const SHARE = 6

class World {
  readonly queue = new NodeQueue(WIDTH)
  /** Owners of the work that runs, in the order of its start. */
  readonly started: string[] = []
  readonly #ends: (() => void)[] = []

  enter(owner: string, signal = new AbortController().signal): Promise<void> {
    return this.queue.run(owner, signal, () => {
      this.started.push(owner)
      return new Promise<void>(resolve => void this.#ends.push(resolve))
    })
  }
  async endOne(): Promise<void> {
    this.#ends.shift()!()
    await new Promise(setImmediate)
  }
}

test('one organization never has all places: another one’s work starts at once', () => {
  const world = new World()
  for (let i = 0; i < 40; i++) void world.enter('stalled')
  assert.equal(world.started.length, SHARE)
  void world.enter('other')
  assert.equal(world.started.at(-1), 'other')
})

test('who waits gets in by turns of the organizations', async () => {
  const world = new World()
  for (let i = 0; i < 10; i++) void world.enter('a')
  for (let i = 0; i < 4; i++) void world.enter('b')
  for (let i = 0; i < 2; i++) void world.enter('c')
  assert.equal(world.started.join(''), 'aaaaaabb')
  while (world.started.length < 16) await world.endOne()
  assert.equal(world.started.join(''), 'aaaaaabbabcabcaa')
})

test('who leaves while it waits frees its turn; whose work goes on keeps its place', async () => {
  const world = new World()
  const gone = new AbortController()
  const rejected = Array.from({ length: 40 }, () => assert.rejects(world.enter('a', gone.signal), StoreError))
  void world.enter('a')
  gone.abort(new StoreError('gone'))
  await Promise.all(rejected)
  assert.equal(world.started.length, SHARE)
  await world.endOne()
  assert.equal(world.started.length, SHARE + 1)
  await assert.rejects(world.enter('b', gone.signal), StoreError)
})

test('a queue of one place serves one at a time, whoever it is', async () => {
  const queue = new NodeQueue(1)
  const order: string[] = []
  const signal = new AbortController().signal
  await Promise.all(
    ['a', 'a', 'b'].map(owner =>
      queue.run(owner, signal, async () => {
        order.push(owner)
        await new Promise(setImmediate)
      }),
    ),
  )
  assert.deepEqual(order, ['a', 'a', 'b'])
})
