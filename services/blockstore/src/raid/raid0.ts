/** Blocks spread over nodes by their id: more room, no redundancy (spec 06 §7.7). */
import type { Uuid } from '@parsec/shared/codec/values'
import type { LogKeys } from '@parsec/shared/log'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import type { BlockFacts, BlockStore } from '../stores/store.ts'
import { type RaidOptions, RaidStore } from './raid.ts'

/** The node of a block: the id as one 128-bit big-endian number, modulo the number of nodes. */
export const nodeOf = (block_id: Uuid, nodes: number): number => Number(BigInt(`0x${block_id.hex}`) % BigInt(nodes))

export class Raid0Store extends RaidStore {
  override readonly keys: LogKeys = { blockstore_type: 'RAID0' }
  readonly isSpread = false
  constructor(members: readonly BlockStore[], options: RaidOptions) {
    super('RAID0', members, 0, options)
  }
  read(organization_id: OrganizationID, block_id: Uuid, facts: BlockFacts, signal: AbortSignal): Promise<Buffer> {
    return this.#member(block_id).read(organization_id, block_id, facts, signal)
  }
  async create(organization_id: OrganizationID, block_id: Uuid, data: Buffer, signal: AbortSignal): Promise<[]> {
    await this.#member(block_id).create(organization_id, block_id, data, signal)
    return []
  }
  /** Some blocks can be, while there is a node. */
  override isReadable(): boolean {
    return this.members.some(member => member.isReadable())
  }
  #member(block_id: Uuid): BlockStore {
    return this.members[nodeOf(block_id, this.members.length)]!
  }
}
