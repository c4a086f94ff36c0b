/** What a scrub concludes from all copies or chunks of one block: which are wrong, and what should be in their place. */
import { assemble, chunkLength, split, xor } from '../raid/raid5-layout.ts'

/** What a node returned: bytes, nothing, or no answer at all. */
export type Piece = Buffer | 'missing' | 'unreadable'
export type Problem = 'missing' | 'corrupt' | 'unreadable'

export type Verdict = {
  /** By node, in their order. */
  readonly problems: ReadonlyMap<number, Problem>
  /** What to write to which node. */
  readonly repairs: ReadonlyMap<number, Buffer>
  /** The block cannot be had, or its pieces contradict each other and nothing tells which are right. */
  readonly isDamaged: boolean
}

/** `size`: bytes of the block; `suspects`: nodes whose pieces are compared with what the others say. */
export type Evidence = { size: number; pieces: readonly Piece[]; suspects: readonly number[] }

/** Copies of the block on every node (RAID1), or on one (no RAID). */
export function judgeCopies({ size, pieces, suspects }: Evidence): Verdict {
  const copies = (suspected: boolean) =>
    pieces.flatMap((piece, node) => (suspects.includes(node) === suspected && isWhole(piece, size) ? [piece] : []))
  const right = majority(copies(false))
  // Suspects that nobody contradicts or confirms are better than nothing.
  const truth = right === undefined ? majority(copies(true)) : right
  if (truth) return verdict(pieces, () => truth)
  const problems = new Map(pieces.map((piece, node) => [node, isWhole(piece, size) ? 'corrupt' : problemOf(piece)]))
  return { problems, repairs: new Map(), isDamaged: true }
}

/** Chunks and checksum of a RAID5, in the order of its nodes. */
export function judgeChunks({ size, pieces, suspects }: Evidence): Verdict {
  const dataNodes = pieces.length - 1
  const length = chunkLength(size, dataNodes)
  const good = pieces.map((piece, node) => (!suspects.includes(node) && isWhole(piece, length) ? piece : undefined))
  const absent = [...good.keys()].filter(node => !good[node])
  const candidates =
    absent.length === 0 && isConsistent(good as Buffer[]) ? [0] : absent.length === 0 ? [...good.keys()] : absent
  const possible = candidates.map(node => rebuild(good, node, size)).filter(chunks => chunks !== undefined)
  // Where every chunk could be the wrong one, nothing tells which is.
  const [whole] = possible
  if (absent.length <= 1 && possible.length === 1 && whole) return verdict(pieces, node => whole[node]!)
  const problems = new Map<number, Problem>()
  for (const [node, piece] of pieces.entries())
    if (!isWhole(piece, length) || absent.length === 0) problems.set(node, problemOf(piece))
  return { problems, repairs: new Map(), isDamaged: true }
}

/** All chunks, with that of `node` made from the others; undefined when that is no block of `size` bytes. */
function rebuild(chunks: readonly (Buffer | undefined)[], node: number, size: number): Buffer[] | undefined {
  const others = chunks.toSpliced(node, 1)
  if (others.some(chunk => !chunk)) return undefined
  const whole = chunks.with(node, xor(others as Buffer[])) as Buffer[]
  const block = assemble(whole, size)?.block
  if (!block) return undefined
  return split(block, chunks.length - 1).every((chunk, i) => chunk.equals(whole[i]!)) ? whole : undefined
}
const isConsistent = (chunks: readonly Buffer[]): boolean => xor(chunks).equals(Buffer.alloc(chunks[0]!.length))

const isWhole = (piece: Piece, length: number): piece is Buffer => Buffer.isBuffer(piece) && piece.length === length
const problemOf = (piece: Piece): Problem => (Buffer.isBuffer(piece) ? 'corrupt' : piece)

function verdict(pieces: readonly Piece[], right: (node: number) => Buffer): Verdict {
  const problems = new Map<number, Problem>()
  const repairs = new Map<number, Buffer>()
  for (const [node, piece] of pieces.entries()) {
    if (Buffer.isBuffer(piece) && piece.equals(right(node))) continue
    problems.set(node, problemOf(piece))
    repairs.set(node, right(node))
  }
  return { problems, repairs, isDamaged: false }
}

/** What more copies say than say anything else; undefined without copies, null when there is no such majority. */
function majority(copies: readonly Buffer[]): Buffer | null | undefined {
  const groups: { copy: Buffer; votes: number }[] = []
  for (const copy of copies) {
    const group = groups.find(other => other.copy.equals(copy))
    if (group) group.votes++
    else groups.push({ copy, votes: 1 })
  }
  const [first, second] = groups.sort((a, b) => b.votes - a.votes)
  if (!first) return undefined
  return first.votes === second?.votes ? null : first.copy
}
