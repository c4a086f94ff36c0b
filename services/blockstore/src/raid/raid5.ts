/** A block in chunks on all nodes but the last, which holds their checksum: any one node may fail (spec 06 §7.9). */

import type { Uuid } from '@parsec/shared/codec/values'
import { RAID_HEDGE_MS } from '@parsec/shared/deadlines'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import { withCancel } from '../stores/deadline.ts'
import { type BlockFacts, type BlockStore, StoreError } from '../stores/store.ts'
import { causeOf, type RaidOptions, RaidStore } from './raid.ts'
import { assemble, chunkLength, split } from './raid5-layout.ts'

export const RAID5_MIN_NODES = 3

export class Raid5Store extends RaidStore {
  readonly isSpread = true
  readonly #toleratedFailures: number
  readonly #hedgeMs: number
  /** `members`: at least `RAID5_MIN_NODES`, the checksum's last. */
  constructor(members: readonly BlockStore[], options: RaidOptions) {
    super('RAID5', members, 1, options)
    this.#toleratedFailures = options.partialCreateOk ? 1 : 0
    this.#hedgeMs = options.hedgeMs ?? RAID_HEDGE_MS
  }

  /**
   * Asks the data nodes; the checksum only when one of them fails, is late or returns a chunk of another length, or
   * when the length that the chunks state is not the block's. A node that missed the upload is not asked: it may hold a
   * chunk of an earlier one.
   */
  read(
    organization_id: OrganizationID,
    block_id: Uuid,
    { size, missedNodes }: BlockFacts,
    parent: AbortSignal,
  ): Promise<Buffer> {
    return withCancel(parent, signal => {
      const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
      const { members } = this
      const chunks = new Array<Buffer | undefined>(members.length).fill(undefined)
      const checksum = members.length - 1
      const chunk = { size: chunkLength(size, checksum), missedNodes: [] }
      let asked = 0
      let settled = 0
      let failed = 0
      let lastError: unknown

      const report = (node: number, error: unknown) =>
        this.report('Block read error', node, organization_id, block_id, error)
      const giveUp = (error: unknown) => reject(this.failure(': More than 1 nodes have failed', causeOf(signal, error)))
      const fetch = (node: number) =>
        missedNodes.includes(node)
          ? Promise.reject(new StoreError('the node missed the upload', { cancelled: true }))
          : members[node]!.read(organization_id, block_id, chunk, signal)
      const ask = (node: number) => {
        asked++
        fetch(node)
          .then(
            chunk => {
              chunks[node] = chunk
            },
            error => {
              report(node, error)
              failed++
              lastError = error
            },
          )
          .finally(() => {
            settled++
            conclude()
          })
      }
      const askChecksum = () => {
        if (asked === checksum) ask(checksum)
      }
      const conclude = () => {
        if (failed > 1) return giveUp(lastError)
        const result = settled - failed >= checksum ? assemble(chunks, size) : undefined
        if (result) {
          if (result.bad !== null) report(result.bad, new StoreError(WRONG_CHUNK, { corrupt: true }))
          resolve(result.block)
        } else if (settled === members.length) giveUp(new StoreError(WRONG_CHUNK, { corrupt: true }))
        else if (failed > 0 || settled === asked) askChecksum()
      }

      for (let node = 0; node < checksum; node++) ask(node)
      const hedge = setTimeout(askChecksum, this.#hedgeMs)
      return promise.finally(() => clearTimeout(hedge))
    })
  }

  create(organization_id: OrganizationID, block_id: Uuid, data: Buffer, signal: AbortSignal): Promise<number[]> {
    const chunks = split(data, this.members.length - 1)
    return this.createOnAll(organization_id, block_id, node => chunks[node]!, this.#toleratedFailures, signal)
  }
}

const WRONG_CHUNK = 'the chunks state another length than the block has'
