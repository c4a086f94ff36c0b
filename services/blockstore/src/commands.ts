/**
 * `block_create` and `block_read` (spec 05 §10): the metadata service decides, the store keeps the bytes. A block is
 * acknowledged only when both are durable; a store that fails answers `timeout` and leaves no trace in the metadata.
 */
import type { Bus } from '@parsec/shared/bus/bus'
import { type Call, callInternal, type Handlers } from '@parsec/shared/bus/rpc'
import type { Uuid } from '@parsec/shared/codec/values'
import { orAborted, withDeadline } from './stores/deadline.ts'
import { type BlockID, type BlockStore, objectKey, StoreError } from './stores/store.ts'
import { upload } from './upload.ts'

/**
 * Milliseconds until the store must be done, counted from the arrival of a create or from the metadata's consent to a
 * read. With a request to the metadata service of 5 s they stay within the 30 s that clients' commands have.
 */
export const STORE_DEADLINE_MS = 22_000
/** Most commands at once; each may hold a block in memory, and more than that would only wait for their deadline. */
export const MAX_COMMANDS = 512

/** `stopping` aborts what still runs when the service must end. */
export type BlockDeps = { bus: Bus; store: BlockStore; stopping: AbortSignal; storeDeadlineMs: number }

export function blockHandlers({
  bus,
  store,
  stopping,
  storeDeadlineMs,
}: BlockDeps): Handlers<'block_create' | 'block_read'> {
  const creating = new Map<string, Promise<void>>()
  let commands = 0

  async function counted<T>(body: () => Promise<T>): Promise<T> {
    if (commands >= MAX_COMMANDS) throw new StoreError(`more than ${MAX_COMMANDS} commands at once`)
    commands++
    try {
      return await body()
    } finally {
      commands--
    }
  }

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

  return {
    async block_create({ context, log }, { block_id, realm_id, block }) {
      try {
        return await counted(() =>
          withDeadline(stopping, storeDeadlineMs, signal =>
            alone({ organization_id: context.organization_id, block_id }, signal, async () => ({
              status: await upload(bus, store, { context, block_id, realm_id }, block, signal),
            })),
          ),
        )
      } catch (error) {
        return refusal('Block create error', error, { context, log }, block_id)
      }
    },

    async block_read({ context, log }, { block_id }) {
      const access = await callInternal(bus, 'block_access', { context, block_id })
      if (access.status !== 'ok') return { status: access.status }
      try {
        const block = await counted(() =>
          withDeadline(stopping, storeDeadlineMs, signal =>
            store.read(context.organization_id, block_id, signal, access.missed_nodes),
          ),
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
  log.warning(event + error.detail, {
    organization_id: context.organization_id,
    block_id: block_id.hex,
    ...error.keys,
    cause: error.message,
  })
  return { status: 'timeout' }
}
