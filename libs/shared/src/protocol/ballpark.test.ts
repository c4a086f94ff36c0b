/** The clock window: 300 s ahead, 320 s behind, both exclusive (01-wire §5.5). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encode } from '../codec/msgpack.ts'
import { DateTime, Float } from '../codec/values.ts'
import { badTimestamp, isInBallpark } from './ballpark.ts'

const now = new DateTime(1_700_000_000_123_456)

test('the bounds are exclusive, to the microsecond (01-wire#69)', () => {
  const inside = (us: number) => isInBallpark(new DateTime(now.us + us), now)
  assert.ok(inside(0))
  assert.ok(inside(299_999_999) && !inside(300_000_000) && !inside(300_000_001))
  assert.ok(inside(-319_999_999) && !inside(-320_000_000) && !inside(-320_000_001))
})

test('a refusal has the four fields that clients show; the offsets are floats (01-wire#67)', () => {
  assert.equal(badTimestamp(now, now), undefined)
  const client_timestamp = now.plus(300)
  const reply = badTimestamp(client_timestamp, now)
  assert.deepEqual(reply, {
    status: 'bad_timestamp',
    ballpark_client_early_offset: new Float(300),
    ballpark_client_late_offset: new Float(320),
    backend_timestamp: now,
    client_timestamp,
  })
  assert.ok(encode(reply!).includes(Buffer.from('cb4072c00000000000', 'hex')))
})
