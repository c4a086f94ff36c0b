/** Bodies of the administration API: JSON whatever the content type, the coercions that it tolerates, `bad_data` (spec 02 §7.1). */
import { organizationId, parse, userId } from '@parsec/shared/codec/fields'

/** Largest integer of a setting: 2³¹−1, what its column holds. */
const MAX_INT = 2 ** 31 - 1

type Outcome<T> = { value: T } | { wrong: string }
/** Makes a value of what the JSON holds, or says what is wrong with it. */
export type Reader<T> = (value: unknown) => Outcome<T>
type Shape = { readonly [field: string]: Reader<unknown> }
type Read<R> = R extends Reader<infer T> ? T : never
export type Fields<Required extends Shape, Optional extends Shape> = { [K in keyof Required]: Read<Required[K]> } & {
  [K in keyof Optional]?: Read<Optional[K]>
}

export type BadData = { error: 'bad_data'; reason: string }
export const badData = (reason: string): BadData => ({ error: 'bad_data', reason })

/** What a body holds, or why it is refused. Unknown fields are ignored. */
export function readBody<R extends Shape, O extends Shape>(
  body: unknown,
  required: R,
  optional: O,
): { fields: Fields<R, O> } | { bad: BadData } {
  const json = parseJson(body)
  if (!json) return { bad: badData('Invalid JSON') }
  if (typeof json.value !== 'object' || json.value === null || Array.isArray(json.value)) {
    return { bad: badData(JSON.stringify({ _schema: ['Invalid input type.'] })) }
  }
  const given = new Map(Object.entries(json.value))
  const fields: { [field: string]: unknown } = {}
  const wrong: { [field: string]: string[] } = {}
  const read = (name: string, reader: Reader<unknown>) => {
    const outcome =
      given.get(name) === null && reader !== limit ? { wrong: 'Field may not be null.' } : reader(given.get(name))
    if ('wrong' in outcome) wrong[name] = [outcome.wrong]
    else fields[name] = outcome.value
  }
  for (const [name, reader] of Object.entries(required)) {
    if (given.has(name)) read(name, reader)
    else wrong[name] = ['Missing data for required field.']
  }
  for (const [name, reader] of Object.entries(optional)) if (given.has(name)) read(name, reader)
  return Object.keys(wrong).length > 0 ? { bad: badData(JSON.stringify(wrong)) } : { fields: fields as Fields<R, O> }
}

function parseJson(body: unknown): { value: unknown } | undefined {
  if (!Buffer.isBuffer(body)) return undefined
  try {
    return { value: JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)) }
  } catch {
    return undefined
  }
}

const TRUE = new Set<unknown>([true, 1, '1', 't', 'T', 'true', 'True', 'TRUE'])
const FALSE = new Set<unknown>([false, 0, '0', 'f', 'F', 'false', 'False', 'FALSE'])

export const bool: Reader<boolean> = value =>
  TRUE.has(value) ? { value: true } : FALSE.has(value) ? { value: false } : { wrong: 'Not a valid boolean.' }

/** An integer of 0 to 2³¹−1; numeric strings are read, fractions cut off. */
export const count: Reader<number> = value => {
  const number = typeof value === 'string' && /^\s*[+-]?\d+\s*$/.test(value) ? Number(value) : value
  if (typeof number !== 'number') return { wrong: 'Not a valid integer.' }
  // Adding zero makes a plain zero of the negative one.
  const whole = Math.trunc(number) + 0
  return whole >= 0 && whole <= MAX_INT ? { value: whole } : { wrong: `Must be between 0 and ${MAX_INT}.` }
}

/** Like `count`, or null for no limit. */
export const limit: Reader<number | null> = value => (value === null ? { value: null } : count(value))

export const text: Reader<string> = value => (typeof value === 'string' ? { value } : { wrong: 'Not a valid string.' })

const identifier =
  (schema: ReturnType<typeof organizationId>): Reader<string> =>
  value => {
    const result = parse(schema, value)
    return result.ok ? { value: result.value } : { wrong: 'Invalid data' }
  }
export const organization: Reader<string> = identifier(organizationId())
export const user: Reader<string> = identifier(userId())
