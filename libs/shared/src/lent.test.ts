/** Memory that is used again: who has it, and what is left to those who had it. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { decode, encode } from './codec/msgpack.ts'
import { giveBack, isLent, lend, spareMemory } from './lent.ts'
import { limits } from './limits.ts'

const BLOCK_BYTES = 524_288
/** As it comes from the database: behind the head of its row. */
function block(content: Buffer): Buffer {
  const row = lend(11, content.length)
  const value = row.subarray(11)
  content.copy(value)
  return value
}

test('a value in lent memory is the end of a message without being copied', () => {
  const content = randomBytes(BLOCK_BYTES)
  const value = block(content)
  const reply = encode({ status: 'ok', block: value })
  assert.equal(reply.buffer, value.buffer)
  assert.deepEqual(reply, encode({ status: 'ok', block: content }))
  giveBack(reply)
})

test('it is copied where more comes behind it, where it is encoded again, and where it is a part only', () => {
  const content = randomBytes(BLOCK_BYTES)
  const messages: ((bin: Buffer) => Parameters<typeof encode>[0])[] = [
    bin => ({ block: bin, status: 'ok' }),
    bin => [bin, bin],
    bin => [bin, null],
    bin => ({ block: bin.subarray(1) }),
    bin => ({ block: bin.subarray(0, -1) }),
    bin => ({ ['long'.repeat(20)]: bin }),
  ]
  for (const message of messages) {
    const value = block(content)
    assert.deepEqual(encode(message(value)), encode(message(content)))
    assert.ok(value.equals(content))
  }
  const value = block(content)
  const first = encode({ block: value })
  assert.ok(!isLent(value))
  const second = encode(['again', value])
  assert.notEqual(second.buffer, value.buffer)
  assert.deepEqual([decode(first), decode(second)], [decode(encode({ block: content })), ['again', content]])
})

test('what is given back is empty for those who had it, and serves the next value', () => {
  const value = block(randomBytes(BLOCK_BYTES))
  const reply = encode({ block: value })
  const kept = spareMemory()
  giveBack(reply)
  assert.equal(spareMemory(), kept + BLOCK_BYTES + 65_536)
  const next = block(randomBytes(BLOCK_BYTES))
  assert.equal(spareMemory(), kept)
  assert.deepEqual([value.length, reply.length, next.length], [0, 0, BLOCK_BYTES])
  giveBack(reply)
  assert.equal(spareMemory(), kept)
})

test('what is not a reply in lent memory is not taken', () => {
  const kept = spareMemory()
  const value = block(randomBytes(BLOCK_BYTES))
  for (const bytes of [Buffer.from('small'), randomBytes(BLOCK_BYTES), value, encode({ status: 'ok' })]) {
    const { length } = bytes
    giveBack(bytes)
    assert.equal(bytes.length, length)
  }
  assert.equal(spareMemory(), kept)
})

test('no more is kept than its bound, whatever the sizes are', () => {
  const replies = Array.from({ length: 40 }, (_, i) => encode({ block: block(Buffer.alloc(BLOCK_BYTES + i * 65_536)) }))
  for (const reply of replies) giveBack(reply)
  assert.ok(spareMemory() <= limits.spare_memory.value)
  assert.ok(spareMemory() > limits.spare_memory.value / 2)
})
