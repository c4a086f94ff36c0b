/** The objects of an organization that is being deleted go, a batch at a time. */
import type { Bus } from '@parsec/shared/bus/bus'
import { callInternal, type InternalHandlers } from '@parsec/shared/bus/rpc'
import { DELETION_WORK_MS } from '@parsec/shared/deadlines'
import { Unavailable } from '@parsec/shared/errors'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import { withDeadline } from './stores/deadline.ts'
import { type BlockStore, StoreError } from './stores/store.ts'

/** Objects that are listed and removed together. */
const OBJECTS = 500

export function removalRequests({
  bus,
  store,
  stopping,
}: {
  bus: Bus
  store: BlockStore
  stopping: AbortSignal
}): InternalHandlers<'objects_remove'> {
  return {
    /** The metadata service alone knows whether they may go. */
    async objects_remove({ budget }, { organization_id }) {
      const { is_allowed } = await callInternal(bus, 'block_removal', { organization_id }, { budget })
      if (!is_allowed) return { are_gone: false }
      try {
        const signal = AbortSignal.any([stopping, budget.signal])
        return { are_gone: await removeObjects(store, organization_id, { ms: budget.msLeft, signal }) }
      } catch (error) {
        if (!(error instanceof StoreError)) throw error
        throw new Unavailable(`block store: ${error.message}`, { cause: error })
      }
    },
  }
}

/** Whether all are gone; false when there was no time for the rest. Rejects with `StoreError`. */
export function removeObjects(
  store: BlockStore,
  organization_id: OrganizationID,
  { ms, signal }: { ms: number; signal: AbortSignal | null },
): Promise<boolean> {
  const until = performance.now() + DELETION_WORK_MS
  return withDeadline(signal, ms, async inTime => {
    do {
      if (await store.removeAll(organization_id, OBJECTS, inTime)) return true
    } while (performance.now() < until)
    return false
  })
}
