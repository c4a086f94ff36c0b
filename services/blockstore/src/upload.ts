/**
 * From a block's bytes to a block that exists: the metadata service allows it, the store takes the bytes, the metadata
 * service writes it down.
 *
 * A block that lies on several nodes has one upload at a time, on whichever replica. Clients encrypt a block anew for
 * each attempt, so a retry brings other bytes, and chunks of two uploads make no block.
 */
import type { Bus } from '@parsec/shared/bus/bus'
import { callInternal } from '@parsec/shared/bus/rpc'
import { Uuid } from '@parsec/shared/codec/values'
import { type BlockRefusal, type InternalRequest, UPLOAD_LEASE_MS } from '@parsec/shared/protocol/internal'
import { pause, withDeadline } from './deadline.ts'
import { StoreError } from './store.ts'

/** Milliseconds before the end of a reservation at which the store must have stopped. */
const LEASE_MARGIN_MS = 1_000
/** Milliseconds between two renewals: one may fail. */
const RENEW_MS = 2_000
/** Milliseconds between two attempts to reserve what another upload has. */
const BUSY_PAUSE_MS = 200

export type Target = Omit<InternalRequest<'block_check'>, 'upload'>

/**
 * `create` gives the bytes to the store, and returns the nodes that missed them. `isAlone`: it runs only while no other
 * upload of the block does, here or elsewhere; it waits for its turn. Rejects with `StoreError`, and as the metadata
 * service does.
 */
export async function upload(
  bus: Bus,
  target: Target & { size: number; isAlone: boolean },
  signal: AbortSignal,
  create: (signal: AbortSignal) => Promise<readonly number[]>,
): Promise<'ok' | BlockRefusal> {
  const { context, block_id, realm_id, size, isAlone } = target
  const upload = isAlone ? Uuid.random() : null
  const request = { context, block_id, realm_id, upload }
  let reservation = await reserve(bus, request)
  while (reservation.status === 'busy') {
    await pause(BUSY_PAUSE_MS, signal)
    reservation = await reserve(bus, request)
  }
  if (reservation.status !== 'ok') return reservation.status
  let isCommitted = false
  try {
    const missed_nodes = upload
      ? await whileReserved(bus, request, reservation.until, signal, create)
      : await create(signal)
    const { status } = await callInternal(bus, 'block_commit', { ...request, size, missed_nodes })
    if (status === 'busy') throw new StoreError('another upload of the block has taken over')
    isCommitted = status === 'ok'
    return status
  } finally {
    // Without this the next attempt would wait for the end of the reservation.
    if (upload && !isCommitted) void callInternal(bus, 'block_abandon', { upload }).catch(() => {})
  }
}

/** `until`: as of `performance.now()`. */
async function reserve(bus: Bus, request: InternalRequest<'block_check'>) {
  const until = performance.now() + UPLOAD_LEASE_MS - LEASE_MARGIN_MS
  const { status } = await callInternal(bus, 'block_check', request)
  return { status, until }
}

/** Aborts `work` when the reservation, which is renewed meanwhile, runs out. */
function whileReserved<T>(
  bus: Bus,
  request: InternalRequest<'block_check'>,
  until: number,
  parent: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return withDeadline(parent, until - performance.now(), async (signal, extend) => {
    const renew = async () => {
      const renewed = await reserve(bus, request)
      if (renewed.status === 'ok') extend(renewed.until - performance.now())
    }
    const renewal = setInterval(() => void renew().catch(() => {}), RENEW_MS)
    try {
      return await work(signal)
    } finally {
      clearInterval(renewal)
    }
  })
}
