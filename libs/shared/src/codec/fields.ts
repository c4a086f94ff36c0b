/**
 * Field types of the wire as zod schemas, and zod's issues as the wire's `errors` map (spec 01 §2.3).
 * A schema sees what `decode` yields; texts, but for `verbatimText`, are normalised to NFC before anything else looks
 * at them (spec 01 §3.1). Whatever has a size is measured before it is looked into: normalising takes the square of a
 * text's length, and each item of a list costs time even when it is wrong.
 */
import { z } from 'zod'
import { limits } from '../limits.ts'
import { type Encodable, isMap, textKeys, type Value } from './msgpack.ts'
import { DateTime, Float, Uuid } from './values.ts'

const MISSING = 'Missing data for required field.'
const NIL = 'Field may not be null.'

/** The text for an absent or nil value; undefined for any other. */
const absence = (input: unknown): string | undefined =>
  input === undefined ? MISSING : input === null ? NIL : undefined

/** A schema that accepts what `accepts` says, with the wire's texts for absent, nil and wrong values. */
function field<T>(accepts: (value: unknown) => boolean, text: string): z.ZodType<T> {
  return z.custom<T>(accepts, {
    error: issue => absence(issue.input) ?? text,
  })
}

export const bool = () => field<boolean>(v => typeof v === 'boolean', 'Not a valid boolean.')
export const uuid = () => field<Uuid>(v => v instanceof Uuid, 'Not an UUID')
export const dateTime = () => field<DateTime>(v => v instanceof DateTime, 'Not a datetime')

/** A msgpack integer within [min, max]; a float is refused even when whole. Beyond 2^53 the value is clamped to it. */
export function int({ min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER } = {}): z.ZodType<number> {
  const clamped = (v: number | bigint): number =>
    typeof v === 'number' ? v : v > 0n ? Number.MAX_SAFE_INTEGER : Number.MIN_SAFE_INTEGER
  const isInteger = (v: unknown): v is number | bigint => typeof v === 'number' || typeof v === 'bigint'
  const isWithin = (v: unknown): boolean => isInteger(v) && clamped(v) >= min && clamped(v) <= max
  return z
    .custom<number | bigint>(isWithin, {
      error: ({ input }) =>
        absence(input) ?? (isInteger(input) ? `Must be between ${min} and ${max}.` : 'Not a valid integer.'),
    })
    .transform(clamped)
}

/** A float or an integer on the wire. */
export const float = () =>
  field<Float | number>(v => v instanceof Float || typeof v === 'number', 'Not a valid number.').transform(v =>
    v instanceof Float ? v.value : v,
  )

const tooLong = (max: number) => `Longer than maximum length ${max}.`

/** Binary of any length, of exactly `length` bytes, or of at most `maxBytes`. */
export const bytes = ({ length, maxBytes = Number.POSITIVE_INFINITY }: { length?: number; maxBytes?: number } = {}) =>
  z.custom<Buffer>(v => Buffer.isBuffer(v) && (length === undefined || v.length === length) && v.length <= maxBytes, {
    error: ({ input }) =>
      absence(input) ?? (Buffer.isBuffer(input) && input.length > maxBytes ? tooLong(maxBytes) : 'Not bytes'),
  }) as z.ZodType<Buffer>
/** A 32-byte Ed25519 or X25519 public key. */
export const key = () => field<Buffer>(v => Buffer.isBuffer(v) && v.length === 32, 'Invalid verify key.')

/** Text of any kind, as it came. */
export const verbatimText = ({ maxBytes = Number.POSITIVE_INFINITY }: { maxBytes?: number } = {}) =>
  textField(v => isWithin(v, maxBytes), maxBytes)

/** Free text, normalised. U+0000 is refused: PostgreSQL cannot store it. */
export const text = ({ maxBytes }: { maxBytes: number }) =>
  textField(v => !v.includes('\0') && normalized(v, maxBytes) !== undefined, maxBytes).transform(nfc)

const textField = (accepts: (v: string) => boolean, maxBytes: number): z.ZodType<string> =>
  z.custom<string>(v => typeof v === 'string' && accepts(v), {
    error: ({ input }) =>
      absence(input) ??
      (typeof input === 'string' && !isWithin(input, maxBytes) ? tooLong(maxBytes) : 'Not a valid string.'),
  })
/** A text has no fewer bytes than UTF-16 units. */
const isWithin = (v: string, maxBytes: number): boolean => v.length <= maxBytes && Buffer.byteLength(v) <= maxBytes

/** Most characters of a wrong value that an error text repeats. */
const MAX_REPEATED = 64

export const enumeration = <const T extends readonly string[]>(values: T) =>
  z.custom<T[number]>(v => typeof v === 'string' && values.includes(v), {
    error: issue =>
      absence(issue.input) ??
      (typeof issue.input === 'string' ? `Invalid role \`${issue.input.slice(0, MAX_REPEATED)}\`` : 'Not string'),
  })

/** One text; can tell the members of a `z.discriminatedUnion` apart. */
export const constant = <const T extends string>(value: T): z.ZodLiteral<T> =>
  z.literal(value, { error: issue => absence(issue.input) ?? `Invalid value, should be \`${value}\`` })

/** A list of at most `max` items; a wrong item is reported under its index. */
export const list = <T extends z.ZodType>(item: T, { max }: { max: number }): z.ZodType<z.infer<T>[]> =>
  counted(Array.isArray, v => v.length, max, 'Not a valid list.').transform((items, context) =>
    each<unknown, z.infer<T>>(items, context, (value, at) => taken(item, value, context, at)),
  )

/** A map with typed keys, which need not be text, of at most `max` entries; yields them in the order of the message. */
export const mapOf = <K, V>(key: z.ZodType<K>, value: z.ZodType<V>, { max }: { max: number }): z.ZodType<[K, V][]> =>
  counted(isMap, v => (v instanceof Map ? v.size : Object.keys(v).length), max, 'Not a valid mapping type.').transform(
    (map, context) =>
      each<[unknown, unknown], [K, V]>(map instanceof Map ? [...map] : Object.entries(map), context, (entry, at) => [
        taken(key, entry[0], context, at, 0),
        taken(value, entry[1], context, at, 1),
      ]),
  )

type Context = z.core.$RefinementCtx
/** Looks at item after item, and no further than the first few problems: each costs more than all that is right. */
function each<I, O>(items: readonly I[], context: Context, take: (item: I, at: number) => O): O[] {
  const taken: O[] = []
  for (const [at, item] of items.entries()) {
    if (context.issues.length >= limits.error_issues.value) break
    taken.push(take(item, at))
  }
  return taken
}
/** What a schema makes of one item; what is wrong with it is noted under its place, and the whole is refused then. */
function taken<S extends z.ZodType>(schema: S, value: unknown, context: Context, ...place: number[]): z.infer<S> {
  const parsed = schema.safeParse(value, { reportInput: true })
  if (parsed.success) return parsed.data
  for (const { message, path, input } of parsed.error.issues)
    context.addIssue({ code: 'custom', message, path: [...place, ...path], input })
  return z.NEVER
}

/** Of a kind, and of no more than `max` items: checked before any item is. */
const counted = <T>(is: (v: unknown) => v is T, count: (v: T) => number, max: number, text: string) =>
  z.custom<T>(v => is(v) && count(v) <= max, {
    error: ({ input }) => absence(input) ?? (is(input) && count(input) > max ? tooLong(max) : text),
  })

/** Present but possibly nil. */
export const requiredNullable = <T>(schema: z.ZodType<T>) => schema.nullable()
/** Nil, or absent, which is the same. */
export const nullable = <T>(schema: z.ZodType<T>): z.ZodType<T | null> => schema.nullish().transform(v => v ?? null)
/** Absent means `value`; nil is refused. */
export const withDefault = <T>(schema: z.ZodType<T>, value: T): z.ZodType<T> =>
  schema.optional().transform(v => (v === undefined ? value : v))

/** Ids, date-times, bins and so on are objects in JavaScript, but no structures. */
const isScalarObject = (v: unknown): boolean => typeof v === 'object' && v !== null && !isMap(v)
const NO_MAP = false

/** A nested structure; unknown fields are ignored, keys that are no text too. */
export const struct = <S extends z.ZodRawShape>(shape: S): z.ZodType<z.infer<z.ZodObject<S>>> =>
  z.preprocess(
    v => (v instanceof Map ? textKeys(v as Map<Value, Value>) : isScalarObject(v) ? NO_MAP : v),
    z.object(shape, {
      error: issue => absence(issue.input) ?? 'Not a valid mapping type.',
    }),
  )

// Identifiers (spec 01 §3.1)

const nfc = (v: string): string => v.normalize('NFC')

/** The normal form of a text, when it has at most `maxBytes` bytes; undefined when it has more. */
function normalized(v: string, maxBytes: number): string | undefined {
  if (!isWithin(v, maxBytes * limits.normalization.value)) return undefined
  const normal = nfc(v)
  return Buffer.byteLength(normal) <= maxBytes ? normal : undefined
}

/** The rule of organization, user and device names. */
const NAME = /^[\p{L}\p{N}\p{M}_-]{1,32}$/u
export const isName = (v: unknown): boolean =>
  typeof v === 'string' && NAME.test(normalized(v, limits.name.value) ?? '')
const isDeviceId = (v: unknown): boolean => {
  if (typeof v !== 'string') return false
  const at = v.indexOf('@')
  return isName(v.slice(0, Math.max(at, 0))) && isName(v.slice(at + 1))
}
const identifier = (accepts: (v: unknown) => boolean) =>
  z
    .custom<string>(accepts, {
      error: issue => absence(issue.input) ?? (typeof issue.input === 'string' ? 'Invalid data' : 'Not string'),
    })
    .transform(nfc)

export const organizationId = () => identifier(isName)
export const userId = () => identifier(isName)
export const deviceName = () => identifier(isName)
export const deviceId = () => identifier(isDeviceId)
/** One line of 1 to 255 bytes. */
export const deviceLabel = () =>
  identifier(v => typeof v === 'string' && /^[^\n\0]+$/u.test(normalized(v, limits.device_label.value) ?? ''))

/** `[email, label]`; two handles are equal when their emails are. */
export type HumanHandle = readonly [email: string, label: string]
const EMAIL = /^[^\s\0@<>",;:\\()[\]]+@[^\s\0@<>",;:\\()[\]]+$/u
const LABEL = /^[^\0<>@,:;\\"[\]]+$/u
const handlePart = (v: unknown): string =>
  typeof v === 'string' ? (normalized(v, limits.human_handle.value) ?? '') : ''
/** What is looked at is the normalised form: it may have a forbidden character that the text as sent has not. */
export const humanHandle = () =>
  field<HumanHandle>(
    v => Array.isArray(v) && v.length === 2 && EMAIL.test(handlePart(v[0])) && LABEL.test(handlePart(v[1])),
    'Invalid data',
  ).transform(([email, label]): HumanHandle => [nfc(email), nfc(label)])

/**
 * What a schema makes of `value`, or the wire's `errors` map: field → texts, list index → …, `_schema` for the whole.
 * The map names the first few problems only.
 */
export function parse<T>(
  schema: z.ZodType<T>,
  value: unknown,
): { ok: true; value: T } | { ok: false; errors: Encodable } {
  const result = schema.safeParse(value, { reportInput: true })
  if (result.success) return { ok: true, value: result.data }
  const root = new Map<Encodable, Encodable>()
  for (const issue of result.error.issues.slice(0, limits.error_issues.value)) {
    let map = root
    const path = issue.path.length === 0 ? ['_schema'] : issue.path
    for (const [depth, step] of path.entries()) {
      const name = typeof step === 'symbol' ? String(step) : step
      if (depth === path.length - 1) {
        const texts = map.get(name)
        if (Array.isArray(texts)) texts.push(issue.message)
        else map.set(name, [issue.message])
      } else {
        const inner = map.get(name)
        if (inner instanceof Map) map = inner as Map<Encodable, Encodable>
        else {
          const created = new Map<Encodable, Encodable>()
          map.set(name, created)
          map = created
        }
      }
    }
  }
  return { ok: false, errors: root }
}
