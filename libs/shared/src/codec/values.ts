/**
 * The wire's scalars that JavaScript has no type for (spec 01 §2.1, §2.4).
 * Each converts itself for PostgreSQL (`toPostgres` is called by `pg`), so that rows and replies share one type.
 */
import { randomBytes } from 'node:crypto'

const HEX_32 = /^[0-9a-f]{32}$/

/** A 16-byte identifier; `hex` is its textual form in URLs, logs and map keys: 32 lower-case digits. */
export class Uuid {
  readonly hex: string
  private constructor(hex: string) {
    this.hex = hex
  }
  /** A random (version 4) id. */
  static random(): Uuid {
    const bytes = randomBytes(16)
    bytes[6] = (bytes[6]! & 0x0f) | 0x40
    bytes[8] = (bytes[8]! & 0x3f) | 0x80
    return new Uuid(bytes.toString('hex'))
  }
  /** From the 16 bytes at a place. */
  static fromBytes(bytes: Buffer, at = 0): Uuid {
    return new Uuid(bytes.toString('hex', at, at + 16))
  }
  /** From text, with or without hyphens; undefined when it is no id. */
  static parse(text: string): Uuid | undefined {
    const hex = text.replaceAll('-', '').toLowerCase()
    return HEX_32.test(hex) ? new Uuid(hex) : undefined
  }
  /** 8-4-4-4-12 form, as object keys of the block stores want it. */
  get hyphenated(): string {
    const h = this.hex
    return `${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20)}`
  }
  equals(other: Uuid): boolean {
    return this.hex === other.hex
  }
  toString(): string {
    return this.hex
  }
  toJSON(): string {
    return this.hex
  }
  toPostgres(): string {
    return this.hex
  }
}

/** First and last second that an instant may name: years 1 to 9999. */
const MIN_SECOND = -62_135_596_800
const MAX_SECOND = 253_402_300_799
const US_PER_SECOND = 1_000_000

/** Follows the system's clock, which may be set at any time. `last`: microseconds. */
const monotonic = { origin: performance.timeOrigin, last: 0 }
/** The system's clock is told in milliseconds; what goes back further was set back. */
const CLOCK_SET_BACK_US = 2_000

/**
 * An instant, exact to the microsecond from the year 1 to 9999; a single number of microseconds would be only until 2255.
 * Never truncate it to milliseconds.
 */
export class DateTime {
  /** Whole seconds since 1970-01-01T00:00:00Z, and the microseconds from there: 0 to 999 999. */
  readonly second: number
  readonly microsecond: number
  /** `us`: a safe integer of microseconds since 1970-01-01T00:00:00Z, or since `second`, an integer too. */
  constructor(us: number, second = 0) {
    let whole = Math.floor(us / US_PER_SECOND)
    let rest = us - whole * US_PER_SECOND
    // The quotient of a large number may have been rounded up.
    if (rest < 0) {
      whole--
      rest += US_PER_SECOND
    }
    this.second = second + whole
    this.microsecond = rest
  }
  /** From seconds and any number of microseconds, both integers. */
  static of(second: number, microsecond: number): DateTime {
    return new DateTime(microsecond, second)
  }
  /**
   * The system's clock: its millisecond, with microseconds from the monotonic clock as long as the two agree. Each call
   * tells a later instant than the one before, unless the clock was set back.
   */
  static now(): DateTime {
    const wall = Date.now()
    const now = monotonic.origin + performance.now()
    const told = Math.min(Math.max(now, wall), wall + 0.999)
    monotonic.origin += told - now
    const us = Math.round(told * 1000)
    const isSetBack = monotonic.last - us > CLOCK_SET_BACK_US
    monotonic.last = us > monotonic.last || isSetBack ? us : monotonic.last + 1
    return new DateTime(monotonic.last)
  }
  /** From seconds, rounded to the nearest microsecond; undefined when not finite or outside the years 1 to 9999. */
  static fromSeconds(seconds: number): DateTime | undefined {
    const second = Math.floor(seconds)
    if (!(seconds >= MIN_SECOND && seconds < MAX_SECOND + 1)) return undefined
    return DateTime.of(second, Math.round((seconds - second) * US_PER_SECOND))
  }
  /** From ISO 8601 with an offset and up to six fractional digits; undefined when unreadable. */
  static parse(text: string): DateTime | undefined {
    const match =
      /^(\d{4,6}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|z|[+-]\d\d(?::?\d\d)?)$/.exec(text) ?? undefined
    if (!match) return undefined
    const [, date, time, fraction = '', offset] = match
    const zone = /^z$/i.test(offset!) ? 'Z' : offset!.length === 3 ? `${offset}:00` : offset!
    const ms = Date.parse(`${date}T${time}${zone}`)
    if (Number.isNaN(ms) || !isDay(date!)) return undefined
    return DateTime.of(ms / 1000, Number(fraction.padEnd(6, '0').slice(0, 6)))
  }
  /** Microseconds since 1970-01-01T00:00:00Z; beyond the year 2255 the nearest number that there is. */
  get us(): number {
    return this.second * US_PER_SECOND + this.microsecond
  }
  /** The float that is nearest; whoever decodes it finds the same microsecond, as far as floats tell them apart. */
  get seconds(): number {
    const { us } = this
    return Number.isSafeInteger(us) ? us / US_PER_SECOND : this.second + this.microsecond / US_PER_SECOND
  }
  plus(seconds: number): DateTime {
    const second = Math.floor(seconds)
    return DateTime.of(this.second + second, this.microsecond + Math.round((seconds - second) * US_PER_SECOND))
  }
  equals(other: DateTime): boolean {
    return this.second === other.second && this.microsecond === other.microsecond
  }
  isBefore(other: DateTime): boolean {
    return this.second < other.second || (this.second === other.second && this.microsecond < other.microsecond)
  }
  isAfter(other: DateTime): boolean {
    return other.isBefore(this)
  }
  /** ISO 8601, UTC, six fractional digits. */
  toString(): string {
    const text = new Date(this.second * 1000).toISOString()
    return `${text.slice(0, text.indexOf('.'))}.${String(this.microsecond).padStart(6, '0')}Z`
  }
  toJSON(): string {
    return this.toString()
  }
  toPostgres(): string {
    return this.toString()
  }
}

/** Whether a month has such a day: `Date.parse` takes 30 February for 1 March. */
function isDay(date: string): boolean {
  const day = Number(date.slice(-2))
  return day <= 28 || new Date(`${date}T00:00:00Z`).getUTCDate() === day
}

/** A float64 on the wire even when its value is whole; decoding yields it too, so that integers stay told apart. */
export class Float {
  readonly value: number
  constructor(value: number) {
    this.value = value
  }
}

/** An extension that the protocol does not know: kept opaque, refused by whichever field receives it. */
export class Extension {
  readonly type: number
  readonly data: Buffer
  constructor(type: number, data: Buffer) {
    this.type = type
    this.data = data
  }
}
