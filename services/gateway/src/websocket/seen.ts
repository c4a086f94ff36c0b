/**
 * Tells metadata which devices came and went: many at once, and of each at most once a minute, so that whoever reconnects
 * all the time costs nothing. What cannot be told is told later.
 */
import type { Bus } from '@parsec/shared/bus/bus'
import { callInternal } from '@parsec/shared/bus/rpc'
import { SEEN_AGAIN_MS, SEEN_EVERY_MS, SEEN_LAST_MS } from '@parsec/shared/deadlines'
import { Unavailable } from '@parsec/shared/errors'
import { limits } from '@parsec/shared/limits'
import type { Log } from '@parsec/shared/log'
import type { SeenDevice } from '@parsec/shared/protocol/internal'

/** Most devices of one request. */
const BATCH = 1000

export class Seen {
  readonly #bus: Bus
  readonly #log: Log
  readonly #now: () => number
  /** When each was here, in milliseconds of `now`. */
  #untold = new Map<number, number>()
  /** Told since the last time that this was emptied. */
  #told = new Set<number>()
  #forgottenAt: number
  #timer: NodeJS.Timeout | undefined
  #telling: Promise<void> = Promise.resolve()
  /** Set when there is no later time. */
  #lastChance: AbortSignal | undefined

  constructor(bus: Bus, log: Log, now: () => number = () => performance.now()) {
    this.#bus = bus
    this.#log = log
    this.#now = now
    this.#forgottenAt = now()
  }
  start(): void {
    this.#timer = setInterval(() => void this.tell(), SEEN_EVERY_MS).unref()
  }
  /** The last ones are told, as far as that can be done at once. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#lastChance = AbortSignal.timeout(SEEN_LAST_MS)
    await this.tell()
  }

  /** The device came or went. */
  note(device: number): void {
    if (this.#told.has(device)) return
    if (this.#untold.size < limits.seen_devices.value || this.#untold.has(device)) this.#untold.set(device, this.#now())
  }
  /** Resolves when all that waits is told, or nothing more can be. */
  tell(): Promise<void> {
    this.#telling = this.#telling.then(() => this.#tellAll())
    return this.#telling
  }
  async #tellAll(): Promise<void> {
    if (this.#now() - this.#forgottenAt >= SEEN_AGAIN_MS) {
      this.#told = new Set()
      this.#forgottenAt = this.#now()
    }
    try {
      while (this.#untold.size > 0) await this.#tellSome([...this.#untold].slice(0, BATCH))
    } catch (error) {
      if (error instanceof Unavailable || this.#lastChance?.aborted)
        this.#log.debug('Devices not told', { cause: (error as Error).message })
      else this.#log.error('Devices not told', { error })
    }
  }
  async #tellSome(some: readonly (readonly [device: number, at: number])[]): Promise<void> {
    const now = this.#now()
    const seen = some.map(([device, at]): SeenDevice => ({ device, secondsAgo: Math.round((now - at) / 1000) }))
    await callInternal(this.#bus, 'devices_seen', { seen }, { signal: this.#lastChance })
    for (const [device] of some) {
      this.#untold.delete(device)
      this.#told.add(device)
    }
  }
}
