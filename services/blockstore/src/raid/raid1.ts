/** The same block on every node; any one of them can answer (spec 06 §7.8). */
import type { Uuid } from '@parsec/shared/codec/values'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import { withCancel } from '../stores/deadline.ts'
import type { BlockFacts, BlockStore } from '../stores/store.ts'
import { causeOf, type RaidOptions, RaidStore } from './raid.ts'

export class Raid1Store extends RaidStore {
  readonly isSpread = true
  readonly #toleratedFailures: number
  constructor(members: readonly BlockStore[], options: RaidOptions) {
    super('RAID1', members, members.length - 1, options)
    this.#toleratedFailures = options.partialCreateOk ? members.length - 1 : 0
  }
  /** Asks all nodes at once; the first that has the whole block answers. Copies of any upload are right. */
  read(organization_id: OrganizationID, block_id: Uuid, facts: BlockFacts, parent: AbortSignal): Promise<Buffer> {
    return withCancel(parent, async signal => {
      const reads = this.members.map(async (member, node) => {
        try {
          return await member.read(organization_id, block_id, facts, signal)
        } catch (error) {
          this.report('Block read error', node, organization_id, block_id, error)
          throw error
        }
      })
      try {
        return await Promise.any(reads)
      } catch (error) {
        throw this.failure(': All nodes have failed', causeOf(signal, (error as AggregateError).errors[0]))
      }
    })
  }
  create(organization_id: OrganizationID, block_id: Uuid, data: Buffer, signal: AbortSignal): Promise<number[]> {
    return this.createOnAll(organization_id, block_id, () => data, this.#toleratedFailures, signal)
  }
}
