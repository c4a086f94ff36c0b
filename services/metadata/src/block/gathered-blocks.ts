/**
 * Blocks are found, checked, and added to their realms, together, see `storage/gather.ts`. A realm whose state or roles
 * somebody changes is not waited for while blocks could be added to others: its blocks go one by one to a second, patient
 * queue.
 *
 * Blocks that lie on several nodes have a reservation to look at besides, and are added alone.
 */
import type { Budget } from '@parsec/shared/budget'
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { limits } from '@parsec/shared/limits'
import type { Database, Transactional } from '@parsec/shared/postgres/database'
import { sql } from '@parsec/shared/postgres/sql'
import type { BlockRefusal, InternalRequest } from '@parsec/shared/protocol/internal'
import { canWrite, writeStateRefusal } from '../realm/gates.ts'
import { shareRealm, tryToShareRealms } from '../realm/lock.ts'
import { BUSY, Gathering, inOrder } from '../storage/gather.ts'
import {
  addBlocks,
  type BlockKey,
  type Checked,
  checkBlock,
  checkBlocks,
  type Found,
  findBlock,
  findBlocks,
  findPlaces,
  type NewBlock,
  type Place,
  type Wanted,
} from './block-statements.ts'

type Stored = InternalRequest<'block_commit'>
type Status = 'ok' | 'busy' | BlockRefusal
type Deps = { db: Database; now: () => DateTime }

/** Who comes alone costs half as much by a statement of its own. */
const FEW = 2

export class Blocks {
  readonly #deps: Deps
  readonly #checks: Gathering<Wanted, Checked | undefined>
  readonly #reads: Gathering<BlockKey, Found | undefined>
  readonly #commits: Gathering<Stored, Status>

  constructor(deps: Deps) {
    this.#deps = deps
    const { db, now } = deps
    const bounds = { maxItems: limits.gathered_blocks.value, maxBytes: Infinity, lanes: 1, spareLanes: 1 }
    this.#checks = new Gathering({
      ...bounds,
      few: FEW,
      alone: (block, budget) => checkBlock(db.within(budget), block),
      together: async (blocks, budget) => inOrder(blocks, await checkBlocks(db.within(budget), blocks)),
    })
    this.#reads = new Gathering({
      ...bounds,
      few: FEW,
      alone: (key, budget) => findBlock(db.within(budget), key),
      together: async (keys, budget) => inOrder(keys, await findBlocks(db.within(budget), keys)),
    })
    const patient = new Gathering<Stored, Status>({
      ...bounds,
      maxItems: 1,
      spareLanes: 0,
      together: async ([block], budget) => [await commitAlone(db.within(budget), block!, now())],
    })
    this.#commits = new Gathering({ ...bounds, patient, together: (blocks, budget) => this.#commit(blocks, budget) })
  }

  /** What a create must know before the upload; undefined when there is no such realm. */
  check({ budget }: { budget: Budget }, block: Wanted): Promise<Checked | undefined> {
    return this.#checks.add(block, { organization: block.context.organization, budget })
  }
  /** What a read must know; undefined when there is no such block. */
  find({ budget }: { budget: Budget }, key: BlockKey): Promise<Found | undefined> {
    return this.#reads.add(key, { organization: key.context.organization, budget })
  }
  /** Makes a block exist whose bytes are stored. */
  commit({ budget }: { budget: Budget }, block: Stored): Promise<Status> {
    const { db, now } = this.#deps
    if (block.upload || block.missed_nodes.length > 0) return commitAlone(db.within(budget), block, now())
    return this.#commits.add(block, { organization: block.context.organization, budget })
  }

  async #commit(blocks: readonly Stored[], budget: Budget): Promise<(Status | typeof BUSY)[]> {
    const { db, now } = this.#deps
    const decided: (BlockRefusal | typeof BUSY | NewBlock)[] = []
    let rows: Promise<{ organization: number; block_id: Uuid }[]> | undefined
    await db.within(budget).transaction(
      async tx => {
        const realms = blocks.map(({ context, realm_id }) => ({ organization: context.organization, realm_id }))
        const [shared, places] = await Promise.all([tryToShareRealms(tx, realms), findPlaces(tx, blocks)])
        const isShared = new Set(shared.map(({ realm }) => realm))
        const found = inOrder(blocks, places)
        for (const [i, block] of blocks.entries()) {
          const place = found[i]
          if (place && !isShared.has(place.realm)) decided.push(BUSY)
          else decided.push(placeRefusal(place, now()) ?? { ...block, realm: place!.realm })
        }
        const added = decided.filter(one => typeof one === 'object')
        if (added.length > 0) rows = addBlocks(tx, added, now())
      },
      () => rows !== undefined,
    )
    const created = new Set((await rows)?.map(keyOf))
    // Of several with one id in a batch the first is the one that was added.
    return decided.map(one =>
      typeof one !== 'object'
        ? one
        : created.delete(keyOf({ ...one, organization: one.context.organization }))
          ? 'ok'
          : 'already_exists',
    )
  }
}

const keyOf = ({ organization, block_id }: { organization: number; block_id: Uuid }): string =>
  `${organization} ${block_id.hex}`

/** The same for one, which waits for its realm; where it has a reservation, as long as that is its own. */
const commitAlone = (db: Transactional, block: Stored, now: DateTime): Promise<Status> =>
  db.transaction<Status>(
    async tx => {
      const { context, block_id, realm_id, upload } = block
      const ended =
        upload &&
        tx.run(sql`
          DELETE FROM block_upload
          WHERE organization = ${context.organization} AND block_id = ${block_id} AND upload = ${upload}`)
      void shareRealm(tx, context.organization, realm_id)
      const [place] = await findPlaces(tx, [block])
      const refusal = placeRefusal(place, now)
      if (refusal) return refusal
      if (ended && (await ended) === 0) return 'busy'
      const added = await addBlocks(tx, [{ ...block, realm: place!.realm }], now)
      return added.length === 1 ? 'ok' : 'already_exists'
    },
    status => status === 'ok',
  )

/** Lines 1 to 5 of `block_create`. */
export function createRefusal(checked: Checked | undefined, now: DateTime): BlockRefusal | undefined {
  return placeRefusal(checked, now) ?? (checked?.is_taken ? 'already_exists' : undefined)
}
/** … without the last one. */
function placeRefusal(place: Place | undefined, now: DateTime): BlockRefusal | undefined {
  if (!place) return 'not_found'
  const refusal = writeStateRefusal(place, now)
  if (refusal) return refusal.status
  return canWrite(place.role) ? undefined : 'not_allowed'
}
