/** The same block on every node; any one of them can answer (spec 06 §7.8). */
import type { Uuid } from '@parsec/shared/codec/values'
import type { LogKeys } from '@parsec/shared/log'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import { withCancel } from '../stores/deadline.ts'
import type { BlockFacts, BlockStore, NodeStatus } from '../stores/store.ts'
import { causeOf, Raid, type RaidOptions } from './raid.ts'

export class Raid1Store implements BlockStore {
  readonly isSpread = true
  readonly #raid: Raid
  readonly #toleratedFailures: number
  constructor(members: readonly BlockStore[], options: RaidOptions) {
    this.#raid = new Raid('RAID1', members, options)
    this.#toleratedFailures = options.partialCreateOk ? members.length - 1 : 0
  }
  get keys(): LogKeys {
    return this.#raid.keys
  }
  open(): Promise<void> {
    return this.#raid.open(this.#raid.members.length - 1)
  }
  /** Asks all nodes at once; the first that has the whole block answers. Copies of any upload are right. */
  read(organization_id: OrganizationID, block_id: Uuid, facts: BlockFacts, parent: AbortSignal): Promise<Buffer> {
    return withCancel(parent, async signal => {
      const reads = this.#raid.members.map(async (member, node) => {
        try {
          return await member.read(organization_id, block_id, facts, signal)
        } catch (error) {
          this.#raid.report('Block read error', node, organization_id, block_id, error)
          throw error
        }
      })
      try {
        return await Promise.any(reads)
      } catch (error) {
        throw this.#raid.failure(': All nodes have failed', causeOf(signal, (error as AggregateError).errors[0]))
      }
    })
  }
  create(organization_id: OrganizationID, block_id: Uuid, data: Buffer, signal: AbortSignal): Promise<number[]> {
    return this.#raid.createOnAll(organization_id, block_id, () => data, this.#toleratedFailures, signal)
  }
  quiet(organization_id: OrganizationID, block_id: Uuid): Promise<void> {
    return this.#raid.quiet(organization_id, block_id)
  }
  removeAll(organization_id: OrganizationID, limit: number, signal: AbortSignal): Promise<boolean> {
    return this.#raid.removeAll(organization_id, limit, signal)
  }
  nodes(): readonly NodeStatus[] {
    return this.#raid.nodes()
  }
  isReadable(): boolean {
    return this.#raid.isReadable(this.#raid.members.length - 1)
  }
  probe(): Promise<void> {
    return this.#raid.probe()
  }
  close(): Promise<void> {
    return this.#raid.close()
  }
}
