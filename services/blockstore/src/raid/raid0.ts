/** Blocks spread over nodes by their id: more room, no redundancy (spec 06 §7.7). */
import type { Uuid } from '@parsec/shared/codec/values'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import type { BlockFacts, BlockStore, NodeStatus } from '../stores/store.ts'
import { Raid, type RaidOptions } from './raid.ts'

/** The node of a block: the id as one 128-bit big-endian number, modulo the number of nodes. */
export const nodeOf = (block_id: Uuid, nodes: number): number => Number(BigInt(`0x${block_id.hex}`) % BigInt(nodes))

export class Raid0Store implements BlockStore {
  readonly keys = { blockstore_type: 'RAID0' }
  readonly isSpread = false
  readonly #raid: Raid
  constructor(members: readonly BlockStore[], options: RaidOptions) {
    this.#raid = new Raid('RAID0', members, options)
  }
  open(): Promise<void> {
    return this.#raid.open(0)
  }
  read(organization_id: OrganizationID, block_id: Uuid, facts: BlockFacts, signal: AbortSignal): Promise<Buffer> {
    return this.#member(block_id).read(organization_id, block_id, facts, signal)
  }
  async create(organization_id: OrganizationID, block_id: Uuid, data: Buffer, signal: AbortSignal): Promise<[]> {
    await this.#member(block_id).create(organization_id, block_id, data, signal)
    return []
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
  #member(block_id: Uuid): BlockStore {
    return this.#raid.members[nodeOf(block_id, this.#raid.members.length)]!
  }
}
