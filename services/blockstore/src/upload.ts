/**
 * From a block's bytes to a block that exists: the metadata service allows it, the store takes the bytes, the metadata
 * service writes it down.
 *
 * A block that lies on several nodes has one upload at a time, on whichever replica. Clients encrypt a block anew for
 * each attempt, so a retry brings other bytes, and chunks of two uploads make no block.
 */

import type { Budget } from '@parsec/shared/budget'
import type { Bus } from '@parsec/shared/bus/bus'
import { callInternal, type Within } from '@parsec/shared/bus/rpc'
import { Uuid } from '@parsec/shared/codec/values'
import { UPLOAD_BUSY_PAUSE_MS, UPLOAD_LEASE_MS, UPLOAD_MARGIN_MS, UPLOAD_RENEW_MS } from '@parsec/shared/deadlines'
import type { BlockRefusal, InternalRequest } from '@parsec/shared/protocol/internal'
import { pause, withDeadline } from './stores/deadline.ts'
import { type BlockStore, StoreError } from './stores/store.ts'

export type Target = Omit<InternalRequest<'block_check'>, 'upload'>

/**
 * Stores `data` as the block `target`; where it is spread over nodes, while no other upload of it goes on, here or
 * elsewhere: it waits for its turn. Rejects with `StoreError`, and as the metadata service does.
 */
export async function upload(
  bus: Bus,
  store: BlockStore,
  target: Target,
  data: Buffer,
  { budget, signal }: { budget: Budget; signal: AbortSignal },
): Promise<'ok' | BlockRefusal> {
  const { organization_id } = target.context
  const request = { ...target, upload: store.isSpread ? Uuid.random() : null }
  const { status, until } = await reserve(bus, request, { budget, signal })
  if (status !== 'ok') return status
  const reservation = new Reservation(bus, request, until)
  let isCommitted = false
  try {
    const missed_nodes = await reservation.limit(signal, inTime =>
      store.create(organization_id, target.block_id, data, inTime),
    )
    const commit = { ...request, size: data.length, missed_nodes }
    const { status } = await callInternal(bus, 'block_commit', commit, { budget })
    if (status === 'busy') throw new StoreError('another upload of the block has taken over')
    isCommitted = status === 'ok'
    return status
  } finally {
    if (isCommitted) reservation.end()
    else void store.quiet(organization_id, target.block_id).then(() => reservation.abandon())
  }
}

type Request = InternalRequest<'block_check'>

/** Asks until no other upload has the block. `until`: as of `performance.now()`. */
async function reserve(bus: Bus, request: Request, within: { budget: Budget; signal: AbortSignal }) {
  for (;;) {
    const { status, until } = await check(bus, request, within)
    if (status !== 'busy') return { status, until }
    await pause(UPLOAD_BUSY_PAUSE_MS, within.signal)
  }
}
async function check(bus: Bus, request: Request, within: Within) {
  const until = performance.now() + UPLOAD_LEASE_MS - UPLOAD_MARGIN_MS
  const { status } = await callInternal(bus, 'block_check', request, within)
  return { status, until }
}

/** The right to upload a block, renewed until it is given back; there is nothing to do for an upload without one. */
class Reservation {
  readonly #bus: Bus
  readonly #request: Request
  readonly #renewal: NodeJS.Timeout | undefined
  #until: number
  #onRenewed = (_ms: number): void => {}

  constructor(bus: Bus, request: Request, until: number) {
    this.#bus = bus
    this.#request = request
    this.#until = until
    if (request.upload) this.#renewal = setInterval(() => void this.#renew().catch(() => {}), UPLOAD_RENEW_MS)
  }

  /** Runs `work`, and aborts it when the right runs out. */
  async limit<T>(parent: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (!this.#renewal) return work(parent)
    try {
      return await withDeadline(parent, this.#until - performance.now(), (signal, extend) => {
        this.#onRenewed = extend
        return work(signal)
      })
    } finally {
      this.#onRenewed = () => {}
    }
  }
  end(): void {
    clearInterval(this.#renewal)
  }
  /** The next upload need not wait until it runs out. */
  abandon(): void {
    this.end()
    const { upload } = this.#request
    if (upload) void callInternal(this.#bus, 'block_abandon', { upload }).catch(() => {})
  }

  async #renew(): Promise<void> {
    const { status, until } = await check(this.#bus, this.#request, {})
    if (status !== 'ok') return
    this.#until = until
    this.#onRenewed(until - performance.now())
  }
}
