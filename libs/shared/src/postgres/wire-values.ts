/** Values as they travel to and from PostgreSQL: results in binary, parameters in binary where their type is certain. */
import { SHORT, shortText } from '../codec/short-texts.ts'
import { DateTime, Uuid } from '../codec/values.ts'

/** Longer messages have memory of their own, and longer values are sent from where they are. */
export const LONG_BYTES = 16 * 1024

export type Decode = (bytes: Buffer, at: number, length: number) => unknown
const EPOCH_2000 = 946_684_800
const TWO_32 = 0x1_0000_0000
const int8 = (b: Buffer, at: number): number => b.readInt32BE(at) * TWO_32 + b.readUInt32BE(at + 4)
/** Microseconds since 2000; far from today their number is no exact one. */
function instant(b: Buffer, at: number): DateTime {
  const us = int8(b, at)
  if (Number.isSafeInteger(us)) return DateTime.of(EPOCH_2000, us)
  const exact = b.readBigInt64BE(at)
  const microsecond = Number(exact % US_PER_SECOND)
  return DateTime.of(EPOCH_2000 + Number((exact - BigInt(microsecond)) / US_PER_SECOND), microsecond)
}
const US_PER_SECOND = 1_000_000n
/** Short ones are copied out of memory that is read into again, and do not keep that of a long message. */
function bytes(b: Buffer, at: number, length: number): Buffer {
  if (length > LONG_BYTES) return b.subarray(at, at + length)
  const own = Buffer.allocUnsafe(length)
  b.copy(own, 0, at, at + length)
  return own
}
const text = (b: Buffer, at: number, length: number): string =>
  (length < SHORT ? shortText(b, at, at + length) : undefined) ?? b.toString('utf8', at, at + length)
const OID = { bytea: 17, int8: 20, text: 25, timestamptz: 1184, uuid: 2950 } as const
const SCALARS = new Map<number, Decode>([
  [16, (b, at) => b[at] === 1],
  [OID.bytea, bytes],
  [18, text],
  [19, text],
  [OID.int8, int8],
  [21, (b, at) => b.readInt16BE(at)],
  [23, (b, at) => b.readInt32BE(at)],
  [OID.text, text],
  [26, (b, at) => b.readUInt32BE(at)],
  [114, (b, at, length) => JSON.parse(text(b, at, length))],
  [700, (b, at) => b.readFloatBE(at)],
  [701, (b, at) => b.readDoubleBE(at)],
  [705, text],
  [1042, text],
  [1043, text],
  [OID.timestamptz, instant],
  // What a function without a result returns
  [2278, () => ''],
  // jsonb, after the number of its format
  [3802, (b, at, length) => JSON.parse(text(b, at + 1, length - 1))],
  [OID.uuid, (b, at) => Uuid.fromBytes(b, at)],
])
/** Arrays of the types above: bool, bytea, int2, int4, text, varchar, int8, float4, float8, oid, timestamptz, uuid. */
const ARRAYS = new Set([1000, 1001, 1005, 1007, 1009, 1015, 1016, 1021, 1022, 1028, 1185, 2951])

export function decoderOf(oid: number): Decode {
  if (ARRAYS.has(oid)) return arrayOf
  return SCALARS.get(oid) ?? (() => refuse(oid))
}
function refuse(oid: number): never {
  throw new Error(`a result of type ${oid} cannot be read: cast it in the statement`)
}
/** Of one dimension. */
function arrayOf(b: Buffer, at: number): unknown[] {
  const items: unknown[] = []
  if (b.readInt32BE(at) === 0) return items
  const decode = decoderOf(b.readUInt32BE(at + 8))
  let next = at + 20
  for (let left = b.readInt32BE(at + 12); left > 0; left--) {
    const length = b.readInt32BE(next)
    next += 4
    items.push(length < 0 ? null : decode(b, next, length))
    next += Math.max(length, 0)
  }
  return items
}

/** As it travels: text, or bytes for what is cheaper so; null for none. */
export type Parameter = string | Uint8Array | null

export function parameterOf(value: unknown): Parameter {
  if (value === null || value === undefined) return null
  if (typeof value === 'string' || value instanceof Uint8Array) return value
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value)
  if (value instanceof Uuid) return Buffer.from(value.hex, 'hex')
  if (value instanceof DateTime) return instantBytes(value)
  if (Array.isArray(value)) return arrayParameter(value)
  throw new TypeError(`a statement cannot have a parameter of type ${typeof value}`)
}
function instantBytes(time: DateTime): Buffer {
  const bytes = Buffer.allocUnsafe(INSTANT_BYTES)
  writeInstant(bytes, time, 0)
  return bytes
}
function writeInstant(bytes: Buffer, { second, microsecond }: DateTime, at: number): void {
  const n = (second - EPOCH_2000) * 1_000_000 + microsecond
  if (!Number.isSafeInteger(n)) {
    bytes.writeBigInt64BE(BigInt(second - EPOCH_2000) * US_PER_SECOND + BigInt(microsecond), at)
    return
  }
  bytes.writeInt32BE(Math.floor(n / TWO_32), at)
  bytes.writeUInt32BE(n - Math.floor(n / TWO_32) * TWO_32, at + 4)
}
const INSTANT_BYTES = 8
const UUID_BYTES = 16

/** In binary when the first item tells the type for certain: a number may be of several. */
function arrayParameter(list: readonly unknown[]): Parameter {
  const first = list.find(item => item !== null)
  // What gathered statements have most of
  if (typeof first === 'number') return `{${list.map(item => item ?? 'NULL').join()}}`
  if (first instanceof Uint8Array)
    return binaryArray(OID.bytea, list as (Uint8Array | null)[], bin => bin.length, writeBin)
  if (first instanceof Uuid) return binaryArray(OID.uuid, list as (Uuid | null)[], () => UUID_BYTES, writeUuid)
  if (first instanceof DateTime)
    return binaryArray(OID.timestamptz, list as (DateTime | null)[], () => INSTANT_BYTES, writeInstant)
  return arrayText(list.map(parameterOf) as (string | null)[])
}
const arrayText = (items: readonly (string | null)[]): string =>
  `{${items.map(item => (item === null ? 'NULL' : `"${QUOTED.test(item) ? item.replace(/[\\"]/g, '\\$&') : item}"`)).join()}}`
const QUOTED = /[\\"]/

/** Of one dimension; each item is written where it belongs. */
function binaryArray<T>(
  element: number,
  items: readonly (T | null)[],
  sizeOf: (item: T) => number,
  write: (bytes: Buffer, item: T, at: number) => void,
): Buffer {
  let size = ARRAY_HEAD_BYTES
  for (const item of items) size += 4 + (item === null ? 0 : sizeOf(item))
  const bytes = Buffer.allocUnsafe(size)
  let at = 0
  for (const n of [1, items.includes(null) ? 1 : 0, element, items.length, 1]) at = bytes.writeInt32BE(n, at)
  for (const item of items) {
    const length = item === null ? -1 : sizeOf(item)
    at = bytes.writeInt32BE(length, at)
    if (item === null) continue
    write(bytes, item, at)
    at += length
  }
  return bytes
}
const ARRAY_HEAD_BYTES = 20
const writeBin = (bytes: Buffer, bin: Uint8Array, at: number): void => bytes.set(bin, at)
const writeUuid = (bytes: Buffer, { hex }: Uuid, at: number): void => void bytes.write(hex, at, 'hex')
