/** What a scrub concludes: which piece is wrong is said only where redundancy proves it. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { split } from '../raid/raid5-layout.ts'
import { newScrub, outcomeOf } from './state.ts'
import { judgeChunks, judgeCopies, type Piece, type Verdict } from './verdict.ts'

const block = Buffer.from('0123456789ABCDEF')
const other = Buffer.from('0123456789abcdef')
const flipped = (piece: Buffer, at: number): Buffer => {
  const copy = Buffer.from(piece)
  copy[at]! ^= 1
  return copy
}
const told = ({ problems, repairs, isDamaged }: Verdict) => ({
  problems: [...problems],
  repairs: [...repairs].map(([node, data]) => [node, data.toString('hex')]),
  isDamaged,
})
const WHOLE = { problems: [], repairs: [], isDamaged: false }

suite('copies', () => {
  const judge = (pieces: Piece[], ...suspects: number[]) => told(judgeCopies({ size: 16, pieces, suspects }))
  const hex = block.toString('hex')
  test('the same everywhere is whole, an empty block too', () => {
    assert.deepEqual(judge([block, block, block]), WHOLE)
    assert.deepEqual(told(judgeCopies({ size: 0, pieces: [Buffer.alloc(0), Buffer.alloc(0)], suspects: [] })), WHOLE)
  })
  test('a missing, a shortened and an outvoted copy are replaced', () => {
    assert.deepEqual(judge(['missing', block.subarray(1), block]), {
      problems: [
        [0, 'missing'],
        [1, 'corrupt'],
      ],
      repairs: [
        [0, hex],
        [1, hex],
      ],
      isDamaged: false,
    })
    assert.deepEqual(judge([block, other, block]).problems, [[1, 'corrupt']])
  })
  test('two different copies prove nothing, unless one node is the suspect', () => {
    assert.equal(judge([block, other]).isDamaged, true)
    assert.deepEqual(judge([block, other]).repairs, [])
    assert.deepEqual(judge([block, other], 1).repairs, [[1, hex]])
    assert.deepEqual(judge([block, block], 1), WHOLE)
  })
  test('without any other copy the suspect is believed', () => {
    assert.deepEqual(judge(['missing', block], 1).repairs, [[0, hex]])
  })
  test('nothing left is damage; no answer is told apart from it', () => {
    assert.deepEqual(judge(['missing', 'missing']).problems, [
      [0, 'missing'],
      [1, 'missing'],
    ])
    assert.equal(judge(['missing', block.subarray(1)]).isDamaged, true)
    assert.deepEqual(judge(['unreadable', block]), {
      problems: [[0, 'unreadable']],
      repairs: [[0, hex]],
      isDamaged: false,
    })
  })
})

suite('chunks', () => {
  const chunks = split(block, 4)
  const judge = (pieces: Piece[], ...suspects: number[]) => told(judgeChunks({ size: 16, pieces, suspects }))
  test('chunks that fit their checksum and the size are whole', () => {
    assert.deepEqual(judge(chunks), WHOLE)
    assert.deepEqual(told(judgeChunks({ size: 0, pieces: split(Buffer.alloc(0), 2), suspects: [] })), WHOLE)
  })
  for (const node of chunks.keys())
    test(`chunk ${node} is rebuilt when it is missing, of a wrong length, or suspected`, () => {
      const repairs = [[node, chunks[node]!.toString('hex')]]
      assert.deepEqual(judge(chunks.with(node, 'missing' as never)), {
        problems: [[node, 'missing']],
        repairs,
        isDamaged: false,
      })
      assert.deepEqual(judge(chunks.with(node, Buffer.alloc(3))).repairs, repairs)
      assert.deepEqual(judge(chunks.with(node, flipped(chunks[node]!, 4)), node).repairs, repairs)
      assert.deepEqual(judge(chunks, node), WHOLE)
    })
  test('a flipped bit in the length is located, since only one chunk explains it', () => {
    const pieces = chunks.with(0, flipped(chunks[0]!, 0))
    // The checksum could be wrong too, were the length in the first chunk right.
    assert.deepEqual(judge(pieces).problems, [[0, 'corrupt']])
  })
  test('a flipped bit that any chunk could explain is damage, not repaired by guessing', () => {
    const verdict = judge(chunks.with(1, flipped(chunks[1]!, 4)))
    assert.equal(verdict.isDamaged, true)
    assert.deepEqual(verdict.repairs, [])
  })
  test('a size that the database contradicts is damage', () => {
    assert.equal(told(judgeChunks({ size: 15, pieces: chunks, suspects: [] })).isDamaged, true)
    assert.equal(judge(split(other.subarray(0, 15), 4).with(0, 'missing' as never)).isDamaged, true)
  })
  test('two chunks less are damage', () => {
    const pieces: Piece[] = chunks.with(0, 'missing' as never).with(3, 'unreadable' as never)
    assert.deepEqual(judge(pieces), {
      problems: [
        [0, 'missing'],
        [3, 'unreadable'],
      ],
      repairs: [],
      isDamaged: true,
    })
  })
})

test('the outcome', () => {
  const outcome = (counts: object) => outcomeOf({ counts: { ...newScrub().counts, ...counts } })
  assert.equal(outcome({ orphans: 3, strangers: 2 }), 'clean')
  assert.equal(outcome({ missing: 2, corrupt: 1, repaired: 3 }), 'repaired')
  assert.equal(outcome({ missing: 2, repaired: 1 }), 'damaged')
  assert.equal(outcome({ damaged: 1 }), 'damaged')
  assert.equal(outcome({ unchecked: 1 }), 'damaged')
})
