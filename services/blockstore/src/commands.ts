/**
 * `block_create` and `block_read` (spec 05 §10): the metadata service decides, the store keeps the bytes. A block is
 * acknowledged only when both are durable; a store that fails answers `timeout` and leaves no trace in the metadata.
 */
import type { Budget } from '@parsec/shared/budget'
import type { Bus } from '@parsec/shared/bus/bus'
import { type Call, callInternal, type Handlers } from '@parsec/shared/bus/rpc'
import type { Uuid } from '@parsec/shared/codec/values'
import { METADATA_DEADLINE_MS } from '@parsec/shared/deadlines'
import { orAborted, withDeadline } from './stores/deadline.ts'
import { type BlockID, type BlockStore, objectKey, StoreError } from './stores/store.ts'
import { upload } from './upload.ts'

/** `stopping` aborts what still runs when the service must end. */
export type BlockDeps = { bus: Bus; store: BlockStore; stopping: AbortSignal; storeDeadlineMs: number }

export function blockHandlers({
  bus,
  store,
  stopping,
  storeDeadlineMs,
}: BlockDeps): Handlers<'block_create' | 'block_read'> {
  const creating = new Map<string, Promise<void>>()

  /**
   * One create per block at a time in this process: a later one must find the earlier in the metadata, and write after
   * whatever is left of an earlier one that failed.
   */
  async function alone<T>(block: BlockID, signal: AbortSignal, body: () => Promise<T>): Promise<T> {
    const key = objectKey(block.organization_id, block.block_id)
    for (let other = creating.get(key); other; other = creating.get(key)) await orAborted(other, signal)
    const work = body()
    const end = work.then(
      () => {},
      () => store.quiet(block.organization_id, block.block_id),
    )
    creating.set(key, end)
    void end.then(() => creating.delete(key))
    return work
  }

  /** Runs `body` until the store must be done, the caller has given up or the service ends. */
  function inTime<T>(budget: Budget, ms: number, body: (signal: AbortSignal) => Promise<T>): Promise<T> {
    return withDeadline(AbortSignal.any([stopping, budget.signal]), Math.min(storeDeadlineMs, ms), body)
  }

  return {
    async block_create({ context, log, budget }, { block_id, realm_id, block }) {
      try {
        return await inTime(budget, budget.msLeft - METADATA_DEADLINE_MS, signal =>
          alone({ organization_id: context.organization_id, block_id }, signal, async () => ({
            status: await upload(bus, store, { context, block_id, realm_id }, block, { budget, signal }),
          })),
        )
      } catch (error) {
        return refusal('Block create error', error, { context, log }, block_id)
      }
    },

    async block_read({ context, log, budget }, { block_id }) {
      const access = await callInternal(bus, 'block_access', { context, block_id }, { budget })
      if (access.status !== 'ok') return { status: access.status }
      const facts = { size: access.size, missedNodes: access.missed_nodes }
      try {
        const block = await inTime(budget, budget.msLeft, signal =>
          store.read(context.organization_id, block_id, facts, signal),
        )
        return { status: 'ok', block }
      } catch (error) {
        return refusal('Block read error', error, { context, log }, block_id)
      }
    },
  }
}

/** What a storage failure means to the client; anything else goes on as it is. */
function refusal(
  event: string,
  error: unknown,
  { context, log }: Pick<Call, 'log'> & { context: { organization_id: string } },
  block_id: Uuid,
): { status: 'timeout' } {
  if (!(error instanceof StoreError)) throw error
  if (error.cancelled) return { status: 'timeout' }
  log.warning(event + error.detail, {
    organization_id: context.organization_id,
    block_id: block_id.hex,
    ...error.keys,
    cause: error.message,
  })
  return { status: 'timeout' }
}
