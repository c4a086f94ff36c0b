import assert from 'node:assert/strict'
import { test } from 'node:test'
import { frame, overwrite } from './socket.ts'

test('a frame of which a part is overwritten is the frame of the changed message', () => {
  const part = Buffer.from('0123456789abcdef')
  for (const [length, at] of [
    [50, 13],
    [300, 0],
    [70_001, 69_985],
  ] as const) {
    const message = Buffer.alloc(length, 7)
    const framed = frame(message)
    overwrite(framed, length, at, part)
    part.copy(message, at)
    assert.deepEqual(framed, frame(message))
  }
})
