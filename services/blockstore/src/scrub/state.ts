/** How far a scrub has come and what it has found: enough to go on after an interruption. */
import type { Problem } from './verdict.ts'

export type ScrubCounts = { [P in Problem]: number } & {
  repaired: number
  /** Blocks that cannot be had, or whose pieces contradict each other. */
  damaged: number
  /** Blocks that could not be judged for want of nodes that answer. */
  unchecked: number
  /** Objects of no block, and how many of them were removed. */
  orphans: number
  removed: number
  /** Objects that are none of this server's: left alone. */
  strangers: number
}

export type ScrubState = {
  phase: 'blocks' | 'objects' | 'done'
  /** The last block of this scrub; null before it has begun. */
  last: number | null
  total: number
  /** How many came too shortly before it; not in the state of an earlier release. */
  young?: number
  /** The last block that was compared, and how many were. */
  position: number
  blocks: number
  /** The node whose objects are looked through, and the last that was. */
  node: number
  after: string
  objects: number
  counts: ScrubCounts
}

export const newScrub = (): ScrubState => ({
  phase: 'blocks',
  last: null,
  total: 0,
  position: 0,
  blocks: 0,
  node: 0,
  after: '',
  objects: 0,
  counts: {
    missing: 0,
    corrupt: 0,
    unreadable: 0,
    repaired: 0,
    damaged: 0,
    unchecked: 0,
    orphans: 0,
    removed: 0,
    strangers: 0,
  },
})

export type ScrubEvent =
  | { kind: Problem; node: number; name: string; key: string; repaired: boolean }
  | { kind: 'damaged' | 'unchecked'; key: string }
  | { kind: 'orphan'; node: number; name: string; key: string; written_on: string | null; removed: boolean }
  | { kind: 'progress'; phase: 'blocks' | 'objects'; done: number; total: number | null }

/**
 * `clean`: every piece is as it should be, orphans aside. `repaired`: it was not, and is now. `damaged`: something is
 * wrong still, or could not be checked.
 */
export function outcomeOf({ counts }: Pick<ScrubState, 'counts'>): 'clean' | 'repaired' | 'damaged' {
  const { missing, corrupt, unreadable, repaired, damaged, unchecked } = counts
  const problems = missing + corrupt + unreadable
  if (damaged + unchecked > 0 || repaired < problems) return 'damaged'
  return problems > 0 ? 'repaired' : 'clean'
}
