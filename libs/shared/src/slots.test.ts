import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Slots } from './slots.ts'

test('whoever is in slots is found by its number until it is deleted, and numbers are given again', () => {
  const slots = new Slots<string>()
  const known = new Map<number, string>()
  for (let n = 0; n < 5_000; n++) {
    const old = [...known.keys()][(n * n + 7 * n) % 50]
    if (old !== undefined && n % 3 !== 0) {
      slots.delete(old)
      known.delete(old)
      slots.delete(old)
    } else {
      const slot = slots.add(`${n}`)
      assert.ok(!known.has(slot))
      known.set(slot, `${n}`)
    }
    assert.equal(slots.size, known.size)
    for (const [slot, item] of known) assert.equal(slots.get(slot), item)
  }
  assert.deepEqual(slots.all().toSorted(), [...known.values()].toSorted())
  const most = Math.max(...known.keys())
  for (const slot of known.keys()) slots.delete(slot)
  assert.deepEqual([slots.size, slots.all(), slots.get(most), slots.get(most + 1)], [0, [], undefined, undefined])
  for (let n = 0; n < known.size; n++) assert.ok(slots.add('again') <= most)
})
