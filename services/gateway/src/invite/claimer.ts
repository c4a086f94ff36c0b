/**
 * The claimer behind one WebSocket (spec 04 §3.2, §5): hears that its invitation is deleted, from before the handshake's
 * result on, and tells metadata again and again that it is there.
 */

import type { Bus } from '@parsec/shared/bus/bus'
import { callInternal } from '@parsec/shared/bus/rpc'
import { CLAIMER_RENEW_MS } from '@parsec/shared/deadlines'
import type { Log } from '@parsec/shared/log'
import type { ControlEvent } from '@parsec/shared/protocol/events'
import type { ClaimerConnection } from '@parsec/shared/protocol/internal'
import type { Organization } from '../events/session.ts'

export class Claimer {
  readonly #bus: Bus
  readonly #log: Log
  readonly #organization: Organization
  readonly #connection: ClaimerConnection
  #isDeleted = false
  #onDeleted: (() => void) | undefined
  #timer: NodeJS.Timeout | undefined
  /** One request after the other, so that "gone" is the last word. */
  #told: Promise<void> = Promise.resolve()

  /** `organization` must be entered, and stay so until `leave`. */
  constructor(bus: Bus, log: Log, organization: Organization, connection: ClaimerConnection) {
    this.#bus = bus
    this.#log = log
    this.#organization = organization
    this.#connection = connection
    organization.watchers.add(this.#hear)
  }

  /** The client is about to be let in: resolves when its presence was told. `onDeleted` is called once, maybe at once. */
  async arrive(onDeleted: () => void): Promise<void> {
    this.#onDeleted = onDeleted
    if (this.#isDeleted) return onDeleted()
    this.#timer = setInterval(() => this.#renew(), CLAIMER_RENEW_MS)
    this.#renew()
    await this.#told
  }
  leave(): void {
    this.#organization.watchers.delete(this.#hear)
    this.#onDeleted = undefined
    if (!this.#timer) return
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#tell(async () => void (await callInternal(this.#bus, 'claimer_gone', this.#connection)))
  }

  readonly #hear = (order: ControlEvent): void => {
    if (order.control === 'invitation.deleted' && order.token.equals(this.#connection.token)) this.#delete()
  }
  #delete(): void {
    if (this.#isDeleted) return
    this.#isDeleted = true
    this.#onDeleted?.()
  }
  #renew(): void {
    this.#tell(async () => {
      if ((await callInternal(this.#bus, 'claimer_present', this.#connection)).is_deleted) this.#delete()
    })
  }
  /** Presence is a courtesy: when it cannot be told, the exchange goes on, and the lease lapses by itself. */
  #tell(request: () => Promise<void>): void {
    this.#told = this.#told.then(request).catch(error => {
      const { organization_id, conn_id } = this.#connection
      this.#log.warning('Presence of the claimer not told', { organization_id, conn_id, error })
    })
  }
}
