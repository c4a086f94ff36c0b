import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bag, type InBag } from './bag.ts'

test('a bag has what a set would have, whatever comes and goes', () => {
  const bag = new Bag<InBag>()
  const set = new Set<InBag>()
  const items = Array.from({ length: 50 }, (): InBag => ({ place: -1 }))
  for (let n = 0; n < 5_000; n++) {
    const item = items[(n * n + 7 * n) % items.length]!
    if (set.has(item)) {
      assert.equal(bag.delete(item), true)
      set.delete(item)
    } else {
      assert.equal(bag.delete(item), false)
      bag.add(item)
      set.add(item)
    }
    assert.equal(bag.size, set.size)
  }
  assert.deepEqual(new Set(bag.all()), set)
  assert.deepEqual(new Set(bag.takeAll()), set)
  assert.equal(bag.size, 0)
  for (const item of items) assert.equal(bag.delete(item), false)
})
