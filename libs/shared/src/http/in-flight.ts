/**
 * The bytes that clients make this process hold: messages and bodies that have begun, and replies that are not read.
 * Each client has a time for them, and all share one total. While that is reached, nothing large is read on, and who has
 * let us wait longest goes first; so small requests of others are always served (DESIGN §11).
 */
import { CLIENT_PATIENCE_MS, CLIENT_SILENCE_MS, CLIENT_SWEEP_MS, CROWDED_PATIENCE_MS } from '../deadlines.ts'
import { limits } from '../limits.ts'

export type Bounds = {
  /** All bytes; above `most` clients are cut at once. */
  readonly total: number
  readonly most: number
  /** What one client may always send or leave unread. */
  readonly small: number
  /** Slowest client that is waited for, bytes per second beyond the first `patienceMs`. */
  readonly rate: number
  readonly patienceMs: number
  readonly silenceMs: number
  readonly crowdedMs: number
  readonly sweepMs: number
}
const BOUNDS: Bounds = {
  total: limits.bytes_in_flight.value,
  most: limits.bytes_in_flight_shed.value,
  small: limits.small_message.value,
  rate: limits.slowest_client.value,
  patienceMs: CLIENT_PATIENCE_MS,
  silenceMs: CLIENT_SILENCE_MS,
  crowdedMs: CROWDED_PATIENCE_MS,
  sweepMs: CLIENT_SWEEP_MS,
}

export class InFlight {
  readonly #bounds: Bounds
  /** Those that wait for their client, oldest first. */
  readonly #waiting = new Set<Hold>()
  readonly #wantRoom = new Set<() => void>()
  #total = 0
  #sweep: NodeJS.Timeout | undefined
  #isShedding = false

  constructor(bounds: Bounds = BOUNDS) {
    this.#bounds = bounds
  }

  /** A client's part. `cut` frees it, and must end in `end`; `why` is for the log. */
  hold(cut: (why: string) => void): Hold {
    return new Hold(this, cut)
  }
  get total(): number {
    return this.#total
  }
  /** Whether a client that has sent `bytes` of its message should go on later: `whenRoom` tells when. */
  isTooMuch(bytes: number): boolean {
    return this.#total >= this.#bounds.total && bytes > this.#bounds.small
  }
  /** Calls `goOn` once, when there is room; the first to ask is the first to go on. */
  whenRoom(goOn: () => void): void {
    this.#wantRoom.add(goOn)
  }
  /** Takes that back. */
  forget(goOn: () => void): void {
    this.#wantRoom.delete(goOn)
  }

  /** Of `Hold` only: its bytes change, and whether it now begins to wait for its client, goes on to wait, or does not. */
  change(hold: Hold, bytes: number, waits: 'anew' | 'still' | 'not'): void {
    this.#total += bytes - hold.bytes
    hold.bytes = bytes
    if (waits !== 'still') this.#waiting.delete(hold)
    if (waits !== 'not') this.#waiting.add(hold)
    if (waits === 'anew') hold.since = performance.now()
    if (this.#waiting.size > 0) this.#sweep ??= setInterval(() => this.#look(), this.#bounds.sweepMs).unref()
    if (this.#total > this.#bounds.most) this.#shed(this.#bounds.most, 0)
    this.#giveRoom()
  }
  #giveRoom(): void {
    for (const goOn of this.#wantRoom) {
      if (this.#total >= this.#bounds.total) return
      this.#wantRoom.delete(goOn)
      goOn()
    }
  }
  /** Cuts whoever was waited for longest, at least `minMs`, until no more than `total` is left. */
  #shed(total: number, minMs: number): void {
    if (this.#isShedding) return
    this.#isShedding = true
    const now = performance.now()
    for (const hold of this.#waiting) {
      if (this.#total <= total || now - hold.since < minMs) break
      hold.cut('too many bytes in flight')
    }
    this.#isShedding = false
  }
  #look(): void {
    const { rate, patienceMs, silenceMs, total, crowdedMs } = this.#bounds
    const now = performance.now()
    for (const hold of this.#waiting) {
      if (hold.isPaused) continue
      const isSilent = hold.isReceiving && now - hold.movedAt > silenceMs
      if (isSilent || now - hold.since > patienceMs + (hold.bytes / rate) * 1000) hold.cut('too slow')
    }
    if (this.#total >= total) this.#shed(total - 1, crowdedMs)
    if (this.#waiting.size > 0) return
    clearInterval(this.#sweep)
    this.#sweep = undefined
  }
}

/** What one client makes us hold. */
export class Hold {
  readonly #all: InFlight
  readonly cut: (why: string) => void
  /** Kept by `InFlight`. */
  bytes = 0
  since = 0
  movedAt = 0
  isReceiving = false
  #pausedAt: number | undefined

  constructor(all: InFlight, cut: (why: string) => void) {
    this.#all = all
    this.cut = cut
  }
  get isPaused(): boolean {
    return this.#pausedAt !== undefined
  }
  /** We do not read on: until `goOn` it is not the client who is slow. */
  pause(): void {
    this.#pausedAt ??= performance.now()
  }
  goOn(): void {
    if (this.#pausedAt === undefined) return
    this.movedAt = performance.now()
    this.since += this.movedAt - this.#pausedAt
    this.#pausedAt = undefined
  }
  /** So much of a message has come; the rest is awaited. */
  receive(bytes: number): void {
    this.movedAt = performance.now()
    const waits = this.isReceiving ? 'still' : 'anew'
    this.isReceiving = true
    this.#all.change(this, bytes, waits)
  }
  /** The message is complete and is worked on. */
  keep(bytes: number): void {
    this.isReceiving = false
    this.#all.change(this, bytes, 'not')
  }
  /** A reply that the client has to read. */
  send(bytes: number): void {
    this.isReceiving = false
    this.#all.change(this, bytes, 'anew')
  }
  end(): void {
    this.keep(0)
  }
}
