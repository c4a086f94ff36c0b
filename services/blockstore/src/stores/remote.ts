/** What S3 and Swift share: objects by key over HTTP, asked for again while that may help, and settings that can work. */
import type { Uuid } from '@parsec/shared/codec/values'
import { STORE_ATTEMPT_MS, STORE_OPEN_MS } from '@parsec/shared/deadlines'
import { OperatorError } from '@parsec/shared/errors'
import type { LogKeys } from '@parsec/shared/log'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import { MARKER_KEY } from '../identity/marker.ts'
import { AttemptError, withRetries } from './attempts.ts'
import { withDeadline } from './deadline.ts'
import { type Agents, makeAgents, type NetworkOptions } from './network.ts'
import {
  type MarkerPlace,
  nullIfMissing,
  type ObjectStore,
  objectKey,
  readByKeys,
  type StoredObject,
  StoreError,
} from './store.ts'

export abstract class RemoteStore implements ObjectStore {
  abstract readonly keys: LogKeys
  /** Names the service for people. */
  abstract readonly host: string
  readonly marker: MarkerPlace = {
    read: signal => nullIfMissing(this.get(MARKER_KEY, signal)),
    write: (data, signal) => this.put(MARKER_KEY, data, signal),
  }
  protected readonly agents: Agents
  readonly #attemptMs: number

  /** Throws `OperatorError`. */
  constructor(network: NetworkOptions) {
    this.agents = makeAgents(network)
    this.#attemptMs = network.attemptMs ?? STORE_ATTEMPT_MS
  }
  /** Asks for the bucket or container. Rejects with `AttemptError`. */
  protected abstract ask(signal: AbortSignal): Promise<unknown>
  /** What a failed `ask` means, for the operator. */
  protected abstract refusal(message: string, isAway: boolean): string
  protected abstract get(key: string, signal: AbortSignal): Promise<Buffer>
  protected abstract put(key: string, data: Buffer, signal: AbortSignal): Promise<void>
  abstract list(after: string, signal: AbortSignal): AsyncIterable<StoredObject>
  abstract remove(key: string, signal: AbortSignal): Promise<void>

  /** Throws `OperatorError` when the service refuses us or knows no such place, `StoreError` when it is away. */
  async open(): Promise<void> {
    try {
      await withDeadline(null, STORE_OPEN_MS, signal => this.ask(signal))
    } catch (error) {
      const { message } = error as Error
      if (error instanceof AttemptError && !error.transient && error.status !== null)
        throw new OperatorError(this.refusal(message, false))
      throw new StoreError(this.refusal(message, true), { cause: error })
    }
  }
  read(organization_id: OrganizationID, block_id: Uuid, signal: AbortSignal): Promise<Buffer> {
    return readByKeys(organization_id, block_id, key => this.get(key, signal))
  }
  create(organization_id: OrganizationID, block_id: Uuid, data: Buffer, signal: AbortSignal): Promise<void> {
    return this.put(objectKey(organization_id, block_id), data, signal)
  }
  async close(): Promise<void> {
    this.agents.http.destroy()
    this.agents.https.destroy()
  }

  protected attempts<T>(
    signal: AbortSignal,
    attempt: (signal: AbortSignal) => Promise<T>,
    options: { isRead?: boolean } = {},
  ): Promise<T> {
    return withRetries(signal, this.#attemptMs, attempt, options)
  }
}

/** Throws `OperatorError` for a setting without a value. */
export function refuseEmpty<C>(service: string, config: C, fields: readonly (keyof C & string)[]): void {
  for (const field of fields)
    if (config[field] === '')
      throw new OperatorError(`${service} block store: empty ${field}; fill it in (--blockstore)`)
}
/** Throws `OperatorError` for an address that is none. */
export function refuseBadUrl(service: string, what: string, url: string): void {
  if (!URL.canParse(url))
    throw new OperatorError(`${service} block store: invalid ${what} \`${url}\`; give a host or a URL (--blockstore)`)
}
