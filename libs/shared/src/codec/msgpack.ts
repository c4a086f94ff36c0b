/**
 * The wire's msgpack (spec 01 §2): strict, schema-independent, bounded.
 *
 * Decoding never allocates more than a constant factor of its input: declared lengths are checked against the bytes
 * that are left, and depth, bin length and the number of values are limited. Decoded bins alias the input.
 */
import { isLent, prepend } from '../lent.ts'
import { limits as bounds } from '../limits.ts'
import { SHORT, shortText } from './short-texts.ts'
import { DateTime, Extension, Float, Uuid } from './values.ts'

/** What `decode` yields. A map is a null-prototype object, or a `Map` as soon as one key is no text. */
export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | Float
  | Buffer
  | Uuid
  | DateTime
  | Extension
  | Value[]
  | Map<Value, Value>
  | { [key: string]: Value }

/** Longest bin in a message from a client, inclusive (spec 01 §2.2). */
export const MAX_BIN_BYTES = bounds.bin.value
/** Deepest nesting of arrays and maps. */
export const MAX_DEPTH = bounds.message_depth.value
/** Most values (scalars, arrays, maps, keys) in what services and manifests say. */
const MAX_VALUES = 16_777_216
/** Keys of maps in a message of a client that V8 learns as forms: a key that nobody has seen then costs five times as much. */
const SHAPED_KEYS = 1000
/** What clients send is read within these limits: each value costs time, whatever it means. */
export const CLIENT_MESSAGE: DecodeLimits = { maxValues: bounds.message_values.value, shapedKeys: SHAPED_KEYS }
/** … and what those say whom anybody can be. */
export const STRANGER_MESSAGE: DecodeLimits = { maxValues: bounds.unauthenticated_values.value }

/** The bytes are no message. The text is for logs, not for clients. */
export class MalformedMessage extends Error {
  override readonly name = 'MalformedMessage'
}

export type DecodeLimits = {
  /** Longest bin, in bytes; defaults to `MAX_BIN_BYTES`. */
  maxBinBytes?: number
  /** Most values; defaults to `MAX_VALUES`. */
  maxValues?: number
  /** Keys of maps that V8 is to know the form of; later maps are read by hash. Defaults to all. */
  shapedKeys?: number
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const EXT_DATETIME = 1
const EXT_UUID = 2

/** Decodes exactly one value that spans all of `bytes`. Throws `MalformedMessage`. */
export function decode(bytes: Uint8Array, limits: DecodeLimits = {}): Value {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const reader = new Reader(buffer, limits)
  const value = reader.value(0)
  if (reader.at !== buffer.length) throw new MalformedMessage('trailing bytes')
  return value
}

/** What a service of this deployment has encoded: its types are believed, not checked. Throws `MalformedMessage`. */
export const decodeOwn = <T>(bytes: Uint8Array): T => decode(bytes) as T

/** Like `decode`, for the many places that only work on a map. Throws `MalformedMessage` for any other root. */
export function decodeMap(bytes: Uint8Array, limits?: DecodeLimits): { [key: string]: Value } {
  const value = decode(bytes, limits)
  if (!isMap(value)) throw new MalformedMessage('the root is no map')
  return value instanceof Map ? textKeys(value) : value
}

export function isMap(value: unknown): value is { [key: string]: Value } | Map<Value, Value> {
  return value instanceof Map || value instanceof FieldMap || isBare(value)
}
const isBare = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Reflect.getPrototypeOf(value) === null
/**
 * A map whose keys are all text. It inherits nothing, so no key means anything to JavaScript; unlike an object without
 * prototype, V8 knows its form, which makes it cheaper to make and to read.
 */
export class FieldMap {
  [key: string]: Value
}
Reflect.deleteProperty(FieldMap.prototype, 'constructor')
Reflect.setPrototypeOf(FieldMap.prototype, null)

/** The entries with text keys; others name no field and are ignored (spec 01 §2.2). */
export function textKeys(map: Map<Value, Value>): { [key: string]: Value } {
  const object = new FieldMap()
  for (const [key, value] of map) if (typeof key === 'string') object[key] = value
  return object
}

class Reader {
  at = 0
  #valuesLeft: number
  #shapedKeysLeft: number
  readonly #bytes: Buffer
  readonly #maxBin: number
  constructor(
    bytes: Buffer,
    { maxBinBytes = MAX_BIN_BYTES, maxValues = MAX_VALUES, shapedKeys = maxValues }: DecodeLimits,
  ) {
    this.#bytes = bytes
    this.#maxBin = maxBinBytes
    this.#valuesLeft = maxValues
    this.#shapedKeysLeft = shapedKeys
  }

  value(depth: number): Value {
    if (--this.#valuesLeft < 0) throw new MalformedMessage('too many values')
    const tag = this.#uint(1)
    if (tag < 0x80) return tag
    if (tag < 0x90) return this.#map(tag & 0x0f, depth)
    if (tag < 0xa0) return this.#array(tag & 0x0f, depth)
    if (tag < 0xc0) return this.#text(tag & 0x1f)
    if (tag >= 0xe0) return tag - 0x100
    switch (tag) {
      case 0xc0:
        return null
      case 0xc2:
        return false
      case 0xc3:
        return true
      case 0xc4:
        return this.#bin(this.#uint(1))
      case 0xc5:
        return this.#bin(this.#uint(2))
      case 0xc6:
        return this.#bin(this.#uint(4))
      case 0xc7:
        return this.#extension(this.#uint(1))
      case 0xc8:
        return this.#extension(this.#uint(2))
      case 0xc9:
        return this.#extension(this.#uint(4))
      case 0xca:
        return new Float(this.#bytes.readFloatBE(this.#take(4)))
      case 0xcb:
        return new Float(this.#bytes.readDoubleBE(this.#take(8)))
      case 0xcc:
        return this.#uint(1)
      case 0xcd:
        return this.#uint(2)
      case 0xce:
        return this.#uint(4)
      case 0xcf:
        return narrow(this.#bytes.readBigUInt64BE(this.#take(8)))
      case 0xd0:
        return this.#bytes.readInt8(this.#take(1))
      case 0xd1:
        return this.#bytes.readInt16BE(this.#take(2))
      case 0xd2:
        return this.#bytes.readInt32BE(this.#take(4))
      case 0xd3:
        return narrow(this.#bytes.readBigInt64BE(this.#take(8)))
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.#extension(1 << (tag - 0xd4))
      case 0xd9:
        return this.#text(this.#uint(1))
      case 0xda:
        return this.#text(this.#uint(2))
      case 0xdb:
        return this.#text(this.#uint(4))
      case 0xdc:
        return this.#array(this.#uint(2), depth)
      case 0xdd:
        return this.#array(this.#uint(4), depth)
      case 0xde:
        return this.#map(this.#uint(2), depth)
      case 0xdf:
        return this.#map(this.#uint(4), depth)
      default:
        throw new MalformedMessage('byte 0xc1')
    }
  }

  /** Claims `length` bytes; returns where they start. */
  #take(length: number): number {
    const start = this.at
    if (start + length > this.#bytes.length) throw new MalformedMessage('truncated')
    this.at = start + length
    return start
  }
  #uint(length: 1 | 2 | 4): number {
    const start = this.#take(length)
    if (length === 1) return this.#bytes[start]!
    return length === 2 ? this.#bytes.readUInt16BE(start) : this.#bytes.readUInt32BE(start)
  }
  #bin(length: number): Buffer {
    if (length > this.#maxBin) throw new MalformedMessage('bin too long')
    const start = this.#take(length)
    return this.#bytes.subarray(start, start + length)
  }
  #text(length: number): string {
    const start = this.#take(length)
    const known = length < SHORT ? shortText(this.#bytes, start, start + length) : undefined
    if (known !== undefined) return known
    try {
      return utf8.decode(this.#bytes.subarray(start, start + length))
    } catch {
      throw new MalformedMessage('invalid UTF-8')
    }
  }
  #array(length: number, depth: number): Value[] {
    this.#enter(length, depth)
    const array: Value[] = []
    for (let i = 0; i < length; i++) array.push(this.value(depth + 1))
    return array
  }
  #map(length: number, depth: number): Value {
    this.#enter(length * 2, depth)
    this.#shapedKeysLeft -= length
    const object: { [key: string]: Value } = this.#shapedKeysLeft >= 0 ? new FieldMap() : Object.create(null)
    for (let i = 0; i < length; i++) {
      const key = this.value(depth + 1)
      if (typeof key !== 'string') return this.#mixedMap(object, key, length - i, depth)
      object[key] = this.value(depth + 1)
    }
    return object
  }
  /** The rest of a map of which a key is no text; a repeated key keeps its last value, as with text keys. */
  #mixedMap(object: { [key: string]: Value }, firstKey: Value, left: number, depth: number): Map<Value, Value> {
    const map = new Map<Value, Value>(Object.entries(object))
    const identities = new Map<string, Value>()
    for (let i = 0, key = firstKey; i < left; i++) {
      if (i > 0) key = this.value(depth + 1)
      if (Array.isArray(key) || isMap(key)) throw new MalformedMessage('array or map as key')
      const identity = identityOf(key)
      if (identity !== undefined) {
        const same = identities.get(identity)
        if (same === undefined) identities.set(identity, key)
        else key = same
      }
      map.set(key, this.value(depth + 1))
    }
    return map
  }
  #enter(items: number, depth: number): void {
    if (depth >= MAX_DEPTH) throw new MalformedMessage('nested too deeply')
    if (items > this.#bytes.length - this.at) throw new MalformedMessage('truncated')
  }
  #extension(length: number): Value {
    const type = this.#bytes.readInt8(this.#take(1))
    if (type === EXT_DATETIME) {
      if (length !== 8) throw new MalformedMessage('date-time of wrong length')
      const time = DateTime.fromSeconds(this.#bytes.readDoubleBE(this.#take(8)))
      if (!time) throw new MalformedMessage('date-time out of range')
      return time
    }
    if (type === EXT_UUID) {
      if (length !== 16) throw new MalformedMessage('id of wrong length')
      return Uuid.fromBytes(this.#bytes, this.#take(16))
    }
    if (length > this.#maxBin) throw new MalformedMessage('extension too long')
    const start = this.#take(length)
    return new Extension(type, this.#bytes.subarray(start, start + length))
  }
}

/** The text at a place of a message, when there is one of less than 32 bytes that are all ASCII. */
export function shortTextAt(bytes: Buffer, at: number): string | undefined {
  const length = bytes[at]! - 0xa0
  const isShort = length >= 0 && length < SHORT && at + length < bytes.length
  return isShort ? shortText(bytes, at + 1, at + 1 + length) : undefined
}

/** Objects that are equal by value need one identity as map keys; scalars are their own. */
function identityOf(key: Value): string | undefined {
  if (key instanceof Uuid) return `u${key.hex}`
  if (key instanceof DateTime) return `t${key.second}.${key.microsecond}`
  if (key instanceof Float) return `f${key.value}`
  if (Buffer.isBuffer(key)) return `b${key.toString('latin1')}`
  if (key instanceof Extension) return `e${key.type}:${key.data.toString('latin1')}`
  return undefined
}

const narrow = (n: bigint): number | bigint =>
  n >= BigInt(Number.MIN_SAFE_INTEGER) && n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : n

/** What `encode` takes: `Value`, and for convenience fields that are `undefined` (left out) and readonly lists. */
export type Encodable =
  | null
  | boolean
  | number
  | bigint
  | string
  | Float
  | Uint8Array
  | Uuid
  | DateTime
  | Extension
  | readonly Encodable[]
  | ReadonlyMap<Encodable, Encodable>
  | { readonly [key: string]: Encodable | undefined }

const POOL_BYTES = 64 * 1024

/**
 * Encodes in the shortest forms (spec 01 §2.1). A number that is a safe integer becomes an integer, any other a float64;
 * wrap a whole float in `Float`. Throws `TypeError` for what the wire cannot say (functions, integers beyond 64 bits, …).
 * A bin in lent memory is given away with the message that it ends (`lent.ts`).
 */
export function encode(value: Encodable): Buffer {
  const writer = new Writer()
  writer.value(value)
  return writer.finish()
}

/** One growing buffer per message; short messages are cut out of a shared pool. */
class Writer {
  static #pool = Buffer.allocUnsafeSlow(POOL_BYTES)
  static #poolAt = 0
  #bytes: Buffer
  #start: number
  #at: number
  #pooled = true
  /** The last value, in lent memory: it is copied only when more comes behind it. */
  #last: Uint8Array | undefined
  constructor() {
    if (Writer.#poolAt > POOL_BYTES - 1024) {
      Writer.#pool = Buffer.allocUnsafeSlow(POOL_BYTES)
      Writer.#poolAt = 0
    }
    this.#bytes = Writer.#pool
    this.#start = this.#at = Writer.#poolAt
  }
  finish(): Buffer {
    if (this.#last) {
      const whole = prepend(this.#bytes.subarray(this.#start, this.#at), this.#last)
      if (whole) return whole
      this.#copyLast()
    }
    if (this.#pooled) Writer.#poolAt = this.#at
    return this.#bytes.subarray(this.#start, this.#at)
  }

  value(value: Encodable | undefined): void {
    if (typeof value === 'string') this.#text(value)
    else if (typeof value === 'number') this.#number(value)
    else if (typeof value === 'object') this.#object(value)
    else if (typeof value === 'boolean') this.#byte(value ? 0xc3 : 0xc2)
    else if (typeof value === 'bigint') this.#bigint(value)
    else throw new TypeError(`a ${typeof value} has no form on the wire`)
  }

  #object(value: Encodable & (object | null)): void {
    if (value === null) this.#byte(0xc0)
    else if (value instanceof Uint8Array) this.#bin(value)
    else if (value instanceof Uuid) this.#uuid(value)
    else if (value instanceof DateTime) this.#dateTime(value)
    else if (value instanceof Float) this.#float(value.value)
    else if (Array.isArray(value)) {
      this.#length(value.length, 0x90, 16, 0xdc)
      for (const item of value) this.value(item)
    } else if (value instanceof Map) {
      this.#length(value.size, 0x80, 16, 0xde)
      for (const [key, item] of value) {
        this.value(key)
        this.value(item)
      }
    } else if (value instanceof Extension) this.#extension(value)
    else this.#record(value as { readonly [key: string]: Encodable | undefined })
  }

  #record(record: { readonly [key: string]: Encodable | undefined }): void {
    const prototype = Object.getPrototypeOf(record)
    if (prototype !== Object.prototype && prototype !== FieldMap.prototype && prototype !== null) {
      throw new TypeError(`a ${prototype.constructor?.name} has no form on the wire`)
    }
    let size = 0
    for (const key in record) if (record[key] !== undefined) size++
    this.#length(size, 0x80, 16, 0xde)
    for (const key in record) {
      const item = record[key]
      if (item === undefined) continue
      this.#text(key)
      this.value(item)
    }
  }

  /** Claims `length` bytes, growing when needed; returns where they start. */
  #room(length: number): number {
    if (this.#last) this.#copyLast()
    const at = this.#at
    if (at + length > this.#bytes.length) this.#grow(length)
    const start = this.#at
    this.#at += length
    return start
  }
  #grow(length: number): void {
    const used = this.#at - this.#start
    const bytes = Buffer.allocUnsafeSlow(Math.max(used + length, used * 2, 4096))
    this.#bytes.copy(bytes, 0, this.#start, this.#at)
    this.#bytes = bytes
    this.#start = 0
    this.#at = used
    this.#pooled = false
  }
  #byte(byte: number): void {
    const at = this.#room(1)
    this.#bytes[at] = byte
  }
  #tagged(tag: number, value: number, length: 1 | 2 | 4): void {
    const at = this.#room(1 + length)
    this.#bytes[at] = tag
    if (length === 1) this.#bytes[at + 1] = value
    else if (length === 2) this.#bytes.writeUInt16BE(value, at + 1)
    else this.#bytes.writeUInt32BE(value, at + 1)
  }
  #uuid(id: Uuid): void {
    const at = this.#room(18)
    this.#bytes[at] = 0xd8
    this.#bytes[at + 1] = EXT_UUID
    this.#bytes.write(id.hex, at + 2, 'hex')
  }
  #dateTime(time: DateTime): void {
    const at = this.#room(10)
    this.#bytes[at] = 0xd7
    this.#bytes[at + 1] = EXT_DATETIME
    this.#bytes.writeDoubleBE(time.seconds, at + 2)
  }
  #number(n: number): void {
    if (Number.isSafeInteger(n) && !Object.is(n, -0)) this.#integer(n)
    else this.#float(n)
  }
  #integer(n: number): void {
    if (n >= 0) {
      if (n < 0x80) this.#byte(n)
      else if (n < 0x100) this.#tagged(0xcc, n, 1)
      else if (n < 0x1_0000) this.#tagged(0xcd, n, 2)
      else if (n < 0x1_0000_0000) this.#tagged(0xce, n, 4)
      else this.#bigint(BigInt(n))
    } else if (n >= -0x20) this.#byte(n & 0xff)
    else if (n >= -0x80) this.#tagged(0xd0, n & 0xff, 1)
    else if (n >= -0x8000) this.#tagged(0xd1, n & 0xffff, 2)
    else if (n >= -0x8000_0000) this.#tagged(0xd2, n >>> 0, 4)
    else this.#bigint(BigInt(n))
  }
  #bigint(n: bigint): void {
    if (n <= 0xffff_ffffn && n >= -0x8000_0000n) {
      this.#integer(Number(n))
      return
    }
    if (n > 0xffff_ffff_ffff_ffffn || n < -0x8000_0000_0000_0000n) throw new TypeError('integer beyond 64 bits')
    const at = this.#room(9)
    this.#bytes[at] = n >= 0n ? 0xcf : 0xd3
    if (n >= 0n) this.#bytes.writeBigUInt64BE(n, at + 1)
    else this.#bytes.writeBigInt64BE(n, at + 1)
  }
  #float(value: number): void {
    const at = this.#room(9)
    this.#bytes[at] = 0xcb
    this.#bytes.writeDoubleBE(value, at + 1)
  }
  #text(text: string): void {
    if (text.length < SHORT && this.#shortAscii(text)) return
    if (!text.isWellFormed()) throw new TypeError('text with a lone surrogate')
    const bytes = Buffer.byteLength(text)
    this.#length(bytes, 0xa0, 32, 0xda, 0xd9)
    const at = this.#room(bytes)
    this.#bytes.write(text, at, bytes, 'utf8')
  }
  /** False, and nothing is written, when a character is none of ASCII. */
  #shortAscii(text: string): boolean {
    const { length } = text
    const at = this.#room(1 + length)
    const bytes = this.#bytes
    bytes[at] = 0xa0 | length
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code >= 0x80) {
        this.#at = at
        return false
      }
      bytes[at + 1 + i] = code
    }
    return true
  }
  #bin(bin: Uint8Array): void {
    const length = bin.length
    if (length < 0x100) this.#tagged(0xc4, length, 1)
    else if (length < 0x1_0000) this.#tagged(0xc5, length, 2)
    else this.#tagged(0xc6, length, 4)
    if (isLent(bin)) this.#last = bin
    else this.#copy(bin)
  }
  #copyLast(): void {
    const last = this.#last!
    this.#last = undefined
    this.#copy(last)
  }
  #copy(bin: Uint8Array): void {
    const at = this.#room(bin.length)
    this.#bytes.set(bin, at)
  }
  #extension(extension: Extension): void {
    const { type, data } = extension
    const power = [1, 2, 4, 8, 16].indexOf(data.length)
    if (power >= 0) this.#byte(0xd4 + power)
    else if (data.length < 0x100) this.#tagged(0xc7, data.length, 1)
    else if (data.length < 0x1_0000) this.#tagged(0xc8, data.length, 2)
    else this.#tagged(0xc9, data.length, 4)
    this.#byte(type & 0xff)
    const at = this.#room(data.length)
    this.#bytes.set(data, at)
  }
  /** The header of a text, array or map: `fix | n` below `fixLimit`, else 8 bits (texts only), 16 or 32 bits. */
  #length(n: number, fix: number, fixLimit: number, tag16: number, tag8?: number): void {
    if (n < fixLimit) this.#byte(fix | n)
    else if (tag8 !== undefined && n < 0x100) this.#tagged(tag8, n, 1)
    else if (n < 0x1_0000) this.#tagged(tag16, n, 2)
    else this.#tagged(tag16 + 1, n, 4)
  }
}
