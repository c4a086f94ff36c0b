/**
 * Bodies of the administration API: JSON whatever the content type, one schema per route with the coercions that it
 * tolerates, `bad_data` (spec 02 §7.1).
 */
import { type HumanHandle, organizationId, parse, userId, verbatimText } from '@parsec/shared/codec/fields'
import { limits } from '@parsec/shared/limits'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'

export type BadData = { error: 'bad_data'; reason: string }
export const badData = (reason: string): BadData => ({ error: 'bad_data', reason })

// Fields

const TRUE: readonly unknown[] = [true, 1, '1', 't', 'T', 'true', 'True', 'TRUE']
const FALSE: readonly unknown[] = [false, 0, '0', 'f', 'F', 'false', 'False', 'FALSE']
/** Largest integer of a setting: 2³¹−1, what its column holds. */
const MAX_INT = 2 ** 31 - 1

const coerced = <T>(read: (value: unknown) => T | undefined, wrong: string): z.ZodType<T> =>
  z
    .custom<unknown>(value => read(value) !== undefined, {
      error: ({ input }) =>
        input === undefined ? 'Missing data for required field.' : input === null ? 'Field may not be null.' : wrong,
    })
    .transform(value => read(value) as T)

export const bool = () =>
  coerced(
    value => (TRUE.includes(value) ? true : FALSE.includes(value) ? false : undefined),
    'Not a valid boolean.',
  ).meta({ type: 'boolean' })

/** An integer of 0 to 2³¹−1; numeric texts are read, fractions cut off. */
export const count = (): z.ZodType<number> =>
  coerced(value => {
    const number = typeof value === 'string' && /^\s*[+-]?\d{1,20}\s*$/.test(value) ? Number(value) : value
    // Adding zero makes a plain zero of the negative one.
    return typeof number === 'number' ? Math.trunc(number) + 0 : undefined
  }, 'Not a valid integer.')
    .refine(whole => whole >= 0 && whole <= MAX_INT, `Must be between 0 and ${MAX_INT}.`)
    .meta({ type: 'integer', minimum: 0, maximum: MAX_INT })

/** Like `count`, or null for no limit. */
export const limit = () => count().nullable()

/** Half of a human handle, compared as it is; what PostgreSQL cannot store is nobody's. */
export const email = (): z.ZodType<HumanHandle[0]> =>
  verbatimText({ maxBytes: limits.human_handle.value })
    .refine(text => !text.includes('\0') && text.isWellFormed(), 'Not a valid string.')
    .meta({ type: 'string' })

// Schemas

const ID = { type: 'string', minLength: 1, maxLength: 32 } as const
const settings = {
  user_profile_outsider_allowed: bool().exactOptional(),
  active_users_limit: limit().exactOptional(),
  minimum_archiving_period: count().exactOptional(),
}
export const creation = z.object({ organization_id: organizationId().meta(ID), ...settings })
export const changes = z.object({ is_expired: bool().exactOptional(), ...settings })
export const freezing = z.object({
  frozen: bool(),
  user_id: userId().meta(ID).exactOptional(),
  user_email: email().exactOptional(),
})

// Bodies

/**
 * What a body holds, or why it is refused. Fields that the schema has not are ignored (spec 02 §7.1), but for one that
 * resembles one that it has: somebody who misspells a setting would believe that it is set. `Prefer: handling=strict`
 * (RFC 7240) refuses them all.
 */
export function readBody<T extends object>(
  request: Pick<FastifyRequest, 'body' | 'headers'>,
  schema: z.ZodObject & z.ZodType<T>,
): { fields: T } | { bad: BadData } {
  const json = parseJson(request.body)
  if (!json) return { bad: badData('Invalid JSON') }
  if (typeof json.value !== 'object' || json.value === null || Array.isArray(json.value))
    return { bad: badData(JSON.stringify({ _schema: ['Invalid input type.'] })) }
  const given = Object.assign(Object.create(null), json.value) as { [field: string]: unknown }
  const parsed = parse<T>(schema, given)
  const wrong = Object.fromEntries([
    ...(parsed.ok ? [] : (parsed.errors as Map<string, string[]>)),
    ...unknownFields(Object.keys(given), Object.keys(schema.shape), prefers(request, 'handling=strict')),
  ])
  return parsed.ok && Object.keys(wrong).length === 0
    ? { fields: parsed.value }
    : { bad: badData(JSON.stringify(wrong)) }
}

/** Whether the caller asks for a behaviour that is not the usual one (RFC 7240). */
export const prefers = ({ headers }: Pick<FastifyRequest, 'headers'>, preference: string): boolean =>
  [headers.prefer ?? []]
    .flat()
    .join(',')
    .split(/[,;]/)
    .some(one => one.replaceAll(' ', '').toLowerCase() === preference)

export function parseJson(body: unknown): { value: unknown } | undefined {
  if (!Buffer.isBuffer(body)) return undefined
  try {
    return { value: JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)) }
  } catch {
    return undefined
  }
}

/** Most fields that are told to be unknown. */
const MAX_UNKNOWN = 10
function unknownFields(given: readonly string[], known: readonly string[], isStrict: boolean): [string, string[]][] {
  const wrong: [string, string[]][] = []
  for (const field of given.slice(0, limits.compared_fields.value)) {
    if (known.includes(field) || wrong.length === MAX_UNKNOWN) continue
    const meant = known.find(name => resembles(field, name))
    if (meant) wrong.push([field, [`Unknown field. Did you mean \`${meant}\`?`]])
    else if (isStrict) wrong.push([field.slice(0, MAX_NAME), ['Unknown field.']])
  }
  return wrong
}

/** Most letters that a misspelt name may have too many, too few or wrong. */
const MAX_MISTAKES = 2
/** Longer names are nobody's. */
const MAX_NAME = 64
function resembles(field: string, name: string): boolean {
  if (field.length > MAX_NAME) return false
  return distance(letters(field), letters(name)) <= MAX_MISTAKES
}
const letters = (name: string): string => name.replace(/[^a-z0-9]/gi, '').toLowerCase()
/** How many letters must be put in, taken out or changed (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++)
      next.push(Math.min(row[j + 1]! + 1, next[j]! + 1, row[j]! + (letter === b[j] ? 0 : 1)))
    row = next
  }
  return row[b.length]!
}
