/** What RAID0, RAID1 and RAID5 share: their nodes' life, and a write to all nodes of which some may be allowed to fail. */

import type { Uuid } from '@parsec/shared/codec/values'
import { RAID_GRACE_MS } from '@parsec/shared/deadlines'
import { OperatorError } from '@parsec/shared/errors'
import type { Log, LogKeys } from '@parsec/shared/log'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import { abortedBy, withCancel } from '../stores/deadline.ts'
import { type BlockFacts, type BlockStore, type NodeStatus, StoreError } from '../stores/store.ts'

export type RaidOptions = {
  log: Log
  /** Whether a write may succeed with fewer nodes than all, as long as it can be read back. */
  partialCreateOk: boolean
  /** Replace `RAID_GRACE_MS` and `RAID_HEDGE_MS`. */
  graceMs?: number
  hedgeMs?: number
}

export abstract class RaidStore implements BlockStore {
  abstract readonly isSpread: boolean
  readonly keys: LogKeys
  protected readonly members: readonly BlockStore[]
  /** How many nodes may be away while every block can be read. */
  readonly #spared: number
  readonly #type: string
  readonly #graceMs: number
  readonly #log: Log

  constructor(
    blockstore_type: string,
    members: readonly BlockStore[],
    spared: number,
    { log, partialCreateOk, graceMs = RAID_GRACE_MS }: RaidOptions,
  ) {
    this.keys = { blockstore_type, partial_create_ok: partialCreateOk }
    this.members = members
    this.#spared = spared
    this.#type = blockstore_type
    this.#graceMs = graceMs
    this.#log = log
  }
  abstract read(
    organization_id: OrganizationID,
    block_id: Uuid,
    facts: BlockFacts,
    signal: AbortSignal,
  ): Promise<Buffer>
  abstract create(
    organization_id: OrganizationID,
    block_id: Uuid,
    data: Buffer,
    signal: AbortSignal,
  ): Promise<readonly number[]>

  /** Opens all nodes. Those that are spared may be away, with a warning; a node that refuses us is always fatal. */
  async open(): Promise<void> {
    const results = await Promise.allSettled(this.members.map(member => member.open()))
    const errors = results.flatMap((result, node) =>
      result.status === 'rejected' ? [{ node, error: result.reason }] : [],
    )
    const fatal =
      errors.find(({ error }) => !(error instanceof StoreError)) ??
      (errors.length > this.#spared ? errors[0] : undefined)
    if (fatal?.error instanceof OperatorError || !fatal) {
      for (const { node, error } of errors)
        this.#log.warning('Block store node away', { ...this.#nodeKeys(node), cause: error.message })
    }
    if (fatal) throw fatal.error
  }
  async quiet(organization_id: OrganizationID, block_id: Uuid): Promise<void> {
    await Promise.all(this.members.map(member => member.quiet(organization_id, block_id)))
  }
  /** Every node must answer: what one keeps could be read again. */
  async removeAll(organization_id: OrganizationID, limit: number, signal: AbortSignal): Promise<boolean> {
    const ends = await Promise.all(this.members.map(member => member.removeAll(organization_id, limit, signal)))
    return ends.every(end => end)
  }
  nodes(): readonly NodeStatus[] {
    return this.members.flatMap(member => member.nodes())
  }
  isReadable(): boolean {
    return this.members.filter(member => !member.isReadable()).length <= this.#spared
  }
  async probe(): Promise<void> {
    await Promise.all(this.members.map(member => member.probe()))
  }
  async close(): Promise<void> {
    await Promise.allSettled(this.members.map(member => member.close()))
  }

  /** Logs what one node did wrong; a node that was told to stop did nothing wrong. */
  protected report(event: string, node: number, organization_id: OrganizationID, block_id: Uuid, error: unknown): void {
    if (error instanceof StoreError && error.cancelled) return
    const keys = error instanceof StoreError ? error.keys : {}
    this.#log.warning(event, {
      organization_id,
      block_id: block_id.hex,
      ...this.#nodeKeys(node),
      ...keys,
      cause: error instanceof Error ? error.message : String(error),
    })
  }
  #nodeKeys(node: number): LogKeys {
    return { ...this.members[node]!.keys, raid: this.#type, node }
  }

  /**
   * Writes `piece(node)` to every node at once. Rejects, and cancels the other writes, as soon as more than `tolerated`
   * nodes have failed; resolves when all others are done, or are late by `RAID_GRACE_MS`, with those that are not done.
   */
  protected createOnAll(
    organization_id: OrganizationID,
    block_id: Uuid,
    piece: (node: number) => Buffer,
    tolerated: number,
    parent: AbortSignal,
  ): Promise<number[]> {
    return withCancel(parent, signal => {
      const { promise, resolve, reject } = Promise.withResolvers<number[]>()
      const missed = new Set(this.members.keys())
      let failed = 0
      let grace: NodeJS.Timeout | undefined
      const onFailure = (node: number, error: unknown) => {
        this.report('Block create error', node, organization_id, block_id, error)
        if (++failed > tolerated) reject(this.failure(createFailure(tolerated, this.members.length), error))
        else settle()
      }
      const settle = () => {
        if (missed.size === failed) resolve([...missed])
        else if (missed.size <= tolerated) grace ??= setTimeout(onLate, this.#graceMs)
      }
      const onLate = () => {
        this.#log.warning('Block create error', {
          organization_id,
          block_id: block_id.hex,
          ...this.keys,
          cause: `written without ${missed.size} nodes, which failed or are late`,
        })
        resolve([...missed])
      }
      for (const [node, member] of this.members.entries()) {
        member.create(organization_id, block_id, piece(node), signal).then(
          () => {
            missed.delete(node)
            settle()
          },
          error => onFailure(node, error),
        )
      }
      return promise.finally(() => clearTimeout(grace))
    })
  }

  protected failure(detail: string, cause: unknown): StoreError {
    const reason = cause instanceof Error ? cause.message : String(cause)
    return new StoreError(reason, { detail, keys: this.keys, cause })
  }
}

const createFailure = (tolerated: number, nodes: number): string =>
  tolerated === 0
    ? ': A node have failed'
    : tolerated === nodes - 1
      ? ': All nodes have failed'
      : `: More than ${tolerated} nodes have failed`

/** When a whole RAID operation was aborted, its deadline is the reason, not what its nodes say. */
export const causeOf = (signal: AbortSignal, error: unknown): unknown => (signal.aborted ? abortedBy(signal) : error)
