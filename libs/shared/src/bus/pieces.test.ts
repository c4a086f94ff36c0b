import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MAX_REPLY_BYTES } from './bus.ts'
import { Assembly, isWhole, piecesOf, WINDOW_BYTES } from './pieces.ts'

const MIB = 1024 * 1024
/** What NATS servers have unless somebody changes it; what the documentation asks for; the most that there can be. */
const PAYLOADS = [MIB, 17 * MIB, 64 * MIB]
/** Messages of one answer that the rights of a service allow (`allow_responses`). */
const MOST_PIECES = 100

for (const maxPayload of PAYLOADS)
  test(`with messages of ${maxPayload / MIB} MiB no more than a window of a reply is on its way at once`, () => {
    assert.ok(!isWhole(WINDOW_BYTES + 1, maxPayload))
    for (const bytes of [WINDOW_BYTES + 1, 16 * MIB, MAX_REPLY_BYTES]) {
      const assembly = new Assembly()
      const pieces = [...piecesOf(Buffer.alloc(bytes, 7), maxPayload)]
      assert.ok(pieces.length <= MOST_PIECES, `${pieces.length} pieces`)
      let under = 0
      for (const [i, { payload, headers, isPause }] of pieces.entries()) {
        under += payload.length
        assert.ok(under <= WINDOW_BYTES, `${under} bytes at once`)
        const taken = assembly.add(headers, payload)
        if (i === pieces.length - 1) assert.deepEqual([(taken as Buffer).length, isPause], [bytes, false])
        else assert.equal(taken, isPause ? 'more' : undefined)
        if (isPause) under = 0
      }
    }
  })

test('a reply of which a piece was lost on the way is none', () => {
  const [first, , third] = [...piecesOf(Buffer.alloc(16 * MIB), MIB)]
  const assembly = new Assembly()
  assembly.add(first!.headers, first!.payload)
  assert.throws(() => assembly.add(third!.headers, third!.payload), /missing/)
})
