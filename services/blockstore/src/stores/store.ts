/** What keeps blocks: one back end, or a RAID of them. The metadata alone decides which blocks exist (spec 06 §7.1). */
import { Uuid } from '@parsec/shared/codec/values'
import type { LogKeys } from '@parsec/shared/log'
import type { OrganizationID } from '@parsec/shared/protocol/types'

/** What one back end and a RAID of them have in common. */
interface Store {
  /** Bound to every log line about this store; never a secret. */
  readonly keys: LogKeys
  /**
   * Makes sure that the store works. Throws `OperatorError` when it cannot with these settings, `StoreError` when it is
   * away.
   */
  open(): Promise<void>
  close(): Promise<void>
}

export type BlockID = { organization_id: OrganizationID; block_id: Uuid }

/** What the metadata knows of a block: its bytes as the client sent them, and the nodes that missed its upload. */
export type BlockFacts = { size: number; missedNodes: readonly number[] }

export interface BlockStore extends Store {
  /** Whether a block is on several nodes, which must all have it from the same upload. */
  readonly isSpread: boolean
  /**
   * The bytes of a block, as many as the metadata knows. Rejects with `StoreError` for any failure: an object that is
   * missing or has another length, and an aborted signal, included.
   */
  read(organization_id: OrganizationID, block_id: Uuid, facts: BlockFacts, signal: AbortSignal): Promise<Buffer>
  /**
   * Resolves when the bytes can be read back whatever dies, with the nodes that lack them or hold those of an earlier
   * upload. Rejects with `StoreError`; then nobody knows which nodes have them, until a later upload has replaced them.
   */
  create(organization_id: OrganizationID, block_id: Uuid, data: Buffer, signal: AbortSignal): Promise<readonly number[]>
  /** Resolves when no create of the block goes on, those that were given up included: a disk does not listen to signals. */
  quiet(organization_id: OrganizationID, block_id: Uuid): Promise<void>
  /**
   * Removes up to `limit` objects of an organization on every node, whether a block of the metadata has them or not;
   * resolves to whether these were all. Rejects with `StoreError`.
   */
  removeAll(organization_id: OrganizationID, limit: number, signal: AbortSignal): Promise<boolean>
  /** How the back ends do, in the order of the configuration. */
  nodes(): readonly NodeStatus[]
  /** Whether any block can be read: enough nodes answer. */
  isReadable(): boolean
  /** Asks nodes that failed whether they are back. Never rejects. */
  probe(): Promise<void>
}

/** An object as a back end lists it. */
export type StoredObject = {
  /** As of `objectKey`, or whatever else somebody put there. */
  key: string
  /** When it was written, in milliseconds since 1970; null where that is not known. */
  writtenOn: number | null
}

/** Where a back end keeps the object by which it knows who it is. `read` answers null when there is none. */
export interface MarkerPlace {
  read(signal: AbortSignal): Promise<Buffer | null>
  write(data: Buffer, signal: AbortSignal): Promise<void>
}

/** One back end. */
export interface ObjectStore extends Store {
  /** Null where the storage cannot be another one. */
  readonly marker: MarkerPlace | null
  /** The bytes of an object. Rejects with `StoreError` for any failure, an aborted signal included. */
  read(organization_id: OrganizationID, block_id: Uuid, signal: AbortSignal): Promise<Buffer>
  /** Resolves when the bytes are durable; as a node of a RAID in the place of what was there. Rejects with `StoreError`. */
  create(organization_id: OrganizationID, block_id: Uuid, data: Buffer, signal: AbortSignal): Promise<void>
  /** Every object whose key comes behind `after` ('': all; `ID/`: those of an organization come first) in the order of the back end. Rejects with `StoreError`. */
  list(after: string, signal: AbortSignal): AsyncIterable<StoredObject>
  /** Removes an object by its key; harmless when there is none. Rejects with `StoreError`. */
  remove(key: string, signal: AbortSignal): Promise<void>
}

export type NodeStatus = {
  /** Names the back end for people: type and bucket, container or directory. */
  name: string
  /** Since when every operation has failed, in milliseconds since 1970; null: the last one succeeded. */
  failingSince: number | null
  /** It did not answer when it was asked whether it is back, or is the wrong one. */
  isAway: boolean
  /** Operations since the start, and how many of them failed, found nothing where a block should be, or no whole one. */
  operations: number
  failures: number
  missing: number
  corrupt: number
}

/** Any failure of storage. The text is for logs: it holds neither a secret nor block data. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  /** The store answered that it has no such object. */
  readonly missing: boolean
  /** The store has an object, but it is not the one that was written. */
  readonly corrupt: boolean
  /** Nothing failed: another node's answer made this operation needless, or nobody waits for it any more. */
  readonly cancelled: boolean
  /** Appended to the event of the log line. */
  readonly detail: string
  readonly keys: LogKeys
  constructor(
    message: string,
    {
      missing = false,
      corrupt = false,
      cancelled = false,
      detail = '',
      keys = {},
      cause,
    }: {
      missing?: boolean
      corrupt?: boolean
      cancelled?: boolean
      detail?: string
      keys?: LogKeys
      cause?: unknown
    } = {},
  ) {
    super(message, cause === undefined ? {} : { cause })
    this.missing = missing
    this.corrupt = corrupt
    this.cancelled = cancelled
    this.detail = detail
    this.keys = keys
  }
}

/** Name of a block's object in every bucket and container (spec 06 §7.2). */
export const objectKey = (organization_id: OrganizationID, block_id: Uuid): string =>
  `${organization_id}/${block_id.hyphenated}`
/** The name that releases 2.7.0 and 2.8.0 wrote: looked for when the other is missing, never written. */
const unhyphenatedKey = (organization_id: OrganizationID, block_id: Uuid): string =>
  `${organization_id}/${block_id.hex}`
/** Reads with `get` by the key of a block, or by the old one when there is nothing. */
export async function readByKeys(
  organization_id: OrganizationID,
  block_id: Uuid,
  get: (key: string) => Promise<Buffer>,
): Promise<Buffer> {
  try {
    return await get(objectKey(organization_id, block_id))
  } catch (error) {
    if (!(error instanceof StoreError && error.missing)) throw error
    return await get(unhyphenatedKey(organization_id, block_id))
  }
}

/** What was read, null when the store has no such object. */
export async function nullIfMissing(read: Promise<Buffer>): Promise<Buffer | null> {
  try {
    return await read
  } catch (error) {
    if (error instanceof StoreError && error.missing) return null
    throw error
  }
}

/** Which block an object belongs to, null for an object that is none of ours. */
export function blockOfKey(key: string): BlockID | null {
  const [organization_id, name, ...rest] = key.split('/')
  if (!organization_id || !name || rest.length > 0) return null
  const block_id = Uuid.parse(name)
  return block_id && (name === block_id.hyphenated || name === block_id.hex) ? { organization_id, block_id } : null
}
