/** A back end under a scrub: reads that tell "nothing there" from "no answer", and the end of patience with a dead node. */
import { SCRUB_OPERATION_MS } from '@parsec/shared/deadlines'
import type { Log } from '@parsec/shared/log'
import { orAborted, withDeadline } from '../stores/deadline.ts'
import type { NamedStore } from '../stores/kind.ts'
import type { BlockID } from '../stores/store.ts'
import { type StoredObject, StoreError } from '../stores/store.ts'
import type { Piece } from './verdict.ts'

/** A node that failed so often in a row is not asked again. */
const PATIENCE = 5

export class ScrubNode {
  readonly name: string
  readonly store: NamedStore['store']
  readonly #log: Log
  readonly #pace: (bytes: number) => Promise<void>
  #failuresInRow = 0

  constructor({ name, store }: NamedStore, log: Log, pace: (bytes: number) => Promise<void>) {
    this.name = name
    this.store = store
    this.#log = log
    this.#pace = pace
  }

  /** False once the node is taken for dead. */
  get answers(): boolean {
    return this.#failuresInRow < PATIENCE
  }

  /** Throws `OperatorError` when the node refuses us; one that is away is not asked again. */
  async open(): Promise<void> {
    try {
      await this.store.open()
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      this.#failuresInRow = PATIENCE
      this.#log.warning('Block store node away', { node: this.name, cause: error.message })
    }
  }
  close(): Promise<void> {
    return this.store.close()
  }

  async read({ organization_id, block_id }: BlockID, signal: AbortSignal): Promise<Piece> {
    if (!this.answers) return 'unreadable'
    const piece = await this.#attempt('read', signal, inTime => this.store.read(organization_id, block_id, inTime))
    if (Buffer.isBuffer(piece)) await this.#pace(piece.length)
    return piece
  }
  /** Whether the bytes are there now. */
  async replace({ organization_id, block_id }: BlockID, data: Buffer, signal: AbortSignal): Promise<boolean> {
    if (!this.answers) return false
    const done = await this.#attempt('replace', signal, async inTime => {
      await this.store.create(organization_id, block_id, data, inTime)
      return data
    })
    await this.#pace(data.length)
    return Buffer.isBuffer(done)
  }
  /** Whether it is gone. */
  async remove(key: string, signal: AbortSignal): Promise<boolean> {
    const done = await this.#attempt('remove', signal, async inTime => {
      await this.store.remove(key, inTime)
      return NOTHING
    })
    return Buffer.isBuffer(done)
  }
  /** Rejects when the list breaks off. */
  list(after: string, signal: AbortSignal): AsyncIterable<StoredObject> {
    return this.store.list(after, signal)
  }

  async #attempt(event: string, signal: AbortSignal, work: (signal: AbortSignal) => Promise<Buffer>): Promise<Piece> {
    try {
      // A disk that hangs does not listen to signals.
      const piece = await withDeadline(signal, SCRUB_OPERATION_MS, inTime => orAborted(work(inTime), inTime))
      this.#failuresInRow = 0
      return piece
    } catch (error) {
      if (signal.aborted) throw signal.reason
      const isMissing = error instanceof StoreError && error.missing
      this.#failuresInRow = isMissing ? 0 : this.#failuresInRow + 1
      if (isMissing) return 'missing'
      this.#log.warning(`Block ${event} error`, { node: this.name, cause: (error as Error).message })
      return 'unreadable'
    }
  }
}

const NOTHING = Buffer.alloc(0)
