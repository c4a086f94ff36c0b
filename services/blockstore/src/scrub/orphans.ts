/** Objects of one node that belong to no block: found, and removed when they are old and nobody can be making one. */
import { SCRUB_CLAIM_MS, SCRUB_YOUNG_MS } from '@parsec/shared/deadlines'
import { MARKER_KEY } from '../identity/marker.ts'
import { pause } from '../stores/deadline.ts'
import type { BlockID } from '../stores/store.ts'
import { blockOfKey, type StoredObject } from '../stores/store.ts'
import type { Ledger } from './ledger.ts'
import type { ScrubNode } from './node.ts'
import type { ScrubEvent, ScrubState } from './state.ts'

/** Objects that the database is asked about at once. */
const PAGE = 500

export type OrphanWork = {
  index: number
  node: ScrubNode
  ledger: Ledger
  state: ScrubState
  removeOlderThanMs: number | null
  onProgress(): Promise<void>
  report(event: ScrubEvent): void
  signal: AbortSignal
  youngMs?: number
  claimMs?: number
}

type Owned = { object: StoredObject; block: BlockID }

/** Goes through the objects behind `state.after`. */
export async function findOrphans(work: OrphanWork): Promise<void> {
  const { node, state, signal } = work
  if (!node.answers) {
    state.counts.unchecked++
    return
  }
  let page: StoredObject[] = []
  for await (const object of node.list(state.after, signal)) {
    page.push(object)
    if (page.length < PAGE) continue
    await lookThrough(work, page)
    page = []
  }
  if (page.length > 0) await lookThrough(work, page)
}

async function lookThrough(work: OrphanWork, page: readonly StoredObject[]): Promise<void> {
  const { ledger, state, report, removeOlderThanMs, youngMs = SCRUB_YOUNG_MS } = work
  const owned: Owned[] = []
  let strangers = 0
  for (const object of page) {
    if (object.key === MARKER_KEY) continue
    const block = blockOfKey(object.key)
    if (block) owned.push({ object, block })
    else strangers++
  }
  const standings = await ledger.standings(owned.map(({ block }) => block))
  strangers += standings.filter(standing => standing === 'stranger').length
  const now = Date.now()
  const isOlder = ({ object }: Owned, ms: number) => object.writtenOn !== null && now - object.writtenOn > ms
  const orphans = owned.filter(
    (one, i) => standings[i] === 'none' && (one.object.writtenOn === null || isOlder(one, youngMs)),
  )
  const old = removeOlderThanMs === null ? [] : orphans.filter(one => isOlder(one, removeOlderThanMs))
  const removed = old.length > 0 ? await removeAll(work, old) : new Set<Owned>()
  for (const orphan of orphans) reportOrphan(work, orphan, removed.has(orphan))
  state.counts.strangers += strangers
  state.counts.orphans += orphans.length
  state.counts.removed += removed.size
  state.objects += page.length
  state.after = page.at(-1)!.key
  report({ kind: 'progress', phase: 'objects', done: state.objects, total: null })
  await work.onProgress()
}

async function removeAll(work: OrphanWork, orphans: readonly Owned[]): Promise<Set<Owned>> {
  const { ledger, node, signal, claimMs = SCRUB_CLAIM_MS } = work
  const removed = new Set<Owned>()
  const wait = () => pause(claimMs, signal)
  await ledger.whileClaimed(
    orphans.map(({ block }) => block),
    wait,
    async i => {
      if (await node.remove(orphans[i]!.object.key, signal)) removed.add(orphans[i]!)
    },
  )
  return removed
}

function reportOrphan({ index, node, report }: OrphanWork, { object }: Owned, removed: boolean): void {
  const written_on = object.writtenOn === null ? null : new Date(object.writtenOn).toISOString()
  report({ kind: 'orphan', node: index, name: node.name, key: object.key, written_on, removed })
}
