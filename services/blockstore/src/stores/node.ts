/** One back end with what every back end needs: bounded concurrency, and a memory of how it does. */

import type { Uuid } from '@parsec/shared/codec/values'
import { STORE_ASK_AGAIN_MS, STORE_PROBE_MS } from '@parsec/shared/deadlines'
import { Unavailable } from '@parsec/shared/errors'
import { limits } from '@parsec/shared/limits'
import type { LogKeys } from '@parsec/shared/log'
import { type Metrics, noMetrics, type StoreOperation } from '@parsec/shared/metrics'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import { orAborted, withDeadline } from './deadline.ts'
import { NodeQueue } from './node-queue.ts'
import {
  type BlockFacts,
  type BlockStore,
  blockOfKey,
  type NodeStatus,
  type ObjectStore,
  objectKey,
  StoreError,
} from './store.ts'

export type NodeOptions = { metrics?: Metrics; concurrency?: number }
/** Rejects with `StoreError` when the storage is the wrong one, with `Unavailable` when that cannot be told now. */
export type Check = (signal: AbortSignal) => Promise<void>

export class StoreNode implements BlockStore {
  readonly name: string
  readonly isSpread = false
  readonly #store: ObjectStore
  readonly #queue: NodeQueue
  readonly #metrics: Metrics
  /** The last write of each object that is being written. */
  readonly #writing = new Map<string, Promise<void>>()
  #failingSince: number | null = null
  #isAway = false
  /** It failed since it was asked last. */
  #isSuspect = false
  #check: Check | null = null
  #isChecked = true
  /** When to ask for its identity again, where nobody could tell. */
  #askAgainAt = 0
  #probing: Promise<void> | undefined
  #operations = 0
  #failures = 0
  #missing = 0
  #corrupt = 0

  constructor(
    name: string,
    store: ObjectStore,
    { metrics = noMetrics, concurrency = limits.node_operations.value }: NodeOptions = {},
  ) {
    this.name = name
    this.#store = store
    this.#metrics = metrics
    this.#queue = new NodeQueue(concurrency)
  }
  get keys(): LogKeys {
    return this.#store.keys
  }
  async open(): Promise<void> {
    try {
      await this.#store.open()
    } catch (error) {
      this.#failingSince = Date.now()
      this.#isAway = true
      this.#isSuspect = true
      throw error
    }
  }
  get store(): ObjectStore {
    return this.#store
  }
  get isAway(): boolean {
    return this.#isAway
  }
  /** From now on it is asked who it is whenever it was away; `isChecked`: it has been asked just now. */
  checkWith(check: Check, isChecked: boolean): void {
    this.#check = check
    this.#isChecked = isChecked && !this.#isAway
  }
  isReadable(): boolean {
    return !this.#isAway
  }
  async probe(): Promise<void> {
    if (this.#isSuspect || !this.#isChecked) await this.#ask().catch(() => {})
  }

  /** A node that failed is asked first whether it is there, and is the one that it was. */
  #trusted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const isDoubtful = this.#isSuspect || (!this.#isChecked && performance.now() >= this.#askAgainAt)
    return isDoubtful ? orAborted(this.#ask(), signal).then(work) : work()
  }
  #ask(): Promise<void> {
    this.#probing ??= this.#askOnce().finally(() => {
      this.#probing = undefined
    })
    return this.#probing
  }
  async #askOnce(): Promise<void> {
    try {
      await withDeadline(null, STORE_PROBE_MS, async signal => {
        if (this.#isSuspect) await orAborted(this.#store.open(), signal)
        await this.#identify(signal)
      })
      this.#isSuspect = false
      this.#isAway = false
      this.#failingSince = null
    } catch (error) {
      this.#isAway = true
      this.#failingSince ??= Date.now()
      throw error
    }
  }
  /** Where nobody can tell now, it is used, and asked again the next time. */
  async #identify(signal: AbortSignal): Promise<void> {
    if (!this.#check) return
    try {
      await orAborted(this.#check(signal), signal)
      this.#isChecked = true
    } catch (error) {
      this.#isChecked = false
      if (!(error instanceof Unavailable)) throw error
      this.#askAgainAt = performance.now() + STORE_ASK_AGAIN_MS
    }
  }
  read(organization_id: OrganizationID, block_id: Uuid, { size }: BlockFacts, signal: AbortSignal): Promise<Buffer> {
    return this.#observe(
      'read',
      this.#queue.run(organization_id, signal, async () => {
        const data = await this.#trusted(signal, () => this.#store.read(organization_id, block_id, signal))
        if (data.length !== size) throw new StoreError(`${data.length} bytes where ${size} belong`, { corrupt: true })
        return data
      }),
    )
  }
  async create(organization_id: OrganizationID, block_id: Uuid, data: Buffer, signal: AbortSignal): Promise<[]> {
    const key = objectKey(organization_id, block_id)
    const write = () =>
      this.#noted(
        key,
        this.#trusted(signal, () => this.#store.create(organization_id, block_id, data, signal)),
      )
    await this.#observe('create', this.#queue.run(organization_id, signal, write))
    return []
  }
  async quiet(organization_id: OrganizationID, block_id: Uuid): Promise<void> {
    await this.#writing.get(objectKey(organization_id, block_id))?.catch(() => {})
  }
  async removeAll(organization_id: OrganizationID, limit: number, signal: AbortSignal): Promise<boolean> {
    const inTurn = <T>(work: () => Promise<T>): Promise<T> =>
      this.#observe(
        'remove',
        this.#queue.run(organization_id, signal, () => this.#trusted(signal, work)),
      )
    // A disk that is gone has no objects either: it is asked who it is.
    this.#isSuspect = true
    const keys = await inTurn(() => this.#keysOf(organization_id, limit, signal))
    await Promise.all(keys.map(key => inTurn(() => this.#store.remove(key, signal))))
    return keys.length < limit
  }
  async #keysOf(organization_id: OrganizationID, limit: number, signal: AbortSignal): Promise<string[]> {
    const prefix = `${organization_id}/`
    const keys: string[] = []
    for await (const { key } of this.#store.list(prefix, signal)) {
      if (!key.startsWith(prefix) || keys.length === limit) break
      if (blockOfKey(key)) keys.push(key)
    }
    return keys
  }
  nodes(): readonly NodeStatus[] {
    return [
      {
        name: this.name,
        failingSince: this.#failingSince,
        isAway: this.#isAway,
        operations: this.#operations,
        failures: this.#failures,
        missing: this.#missing,
        corrupt: this.#corrupt,
      },
    ]
  }
  close(): Promise<void> {
    return this.#store.close()
  }

  async #noted(key: string, write: Promise<void>): Promise<void> {
    this.#writing.set(key, write)
    try {
      await write
    } finally {
      if (this.#writing.get(key) === write) this.#writing.delete(key)
    }
  }

  /** Counts; gives every failure the store's keys. */
  async #observe<T>(operation: StoreOperation, work: Promise<T>): Promise<T> {
    const startedAt = performance.now()
    const seconds = () => (performance.now() - startedAt) / 1000
    try {
      const result = await work
      this.#metrics.blockstore(this.name, operation, 'ok', seconds())
      this.#operations++
      this.#failingSince = null
      return result
    } catch (cause) {
      const error =
        cause instanceof StoreError ? cause : new StoreError((cause as Error)?.message ?? String(cause), { cause })
      if (error.cancelled) throw error
      this.#operations++
      const outcome = error.missing ? 'missing' : error.corrupt ? 'corrupt' : 'failed'
      this.#metrics.blockstore(this.name, operation, outcome, seconds())
      // A disk that is gone has nothing either, and neither has another one in its place.
      if (!error.corrupt) this.#isSuspect = true
      if (error.missing || error.corrupt) {
        if (error.missing) this.#missing++
        else this.#corrupt++
        this.#failingSince = null
      } else {
        this.#failures++
        this.#failingSince ??= Date.now()
      }
      throw new StoreError(error.message, {
        missing: error.missing,
        corrupt: error.corrupt,
        keys: { ...this.keys, ...error.keys },
        cause: error,
      })
    }
  }
}
