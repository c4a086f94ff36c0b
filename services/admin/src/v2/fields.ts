/** Types of fields that several answers and questions share, as the JSON of the API has them. */
import { organizationId, userId } from '@parsec/shared/codec/fields'
import { DateTime } from '@parsec/shared/codec/values'
import { limits } from '@parsec/shared/limits'
import type { PageEnd, PageOf } from '@parsec/shared/protocol/administration'
import { SERVICE_NAMES } from '@parsec/shared/protocol/command'
import { USER_PROFILES } from '@parsec/shared/protocol/types'
import { z } from 'zod'
import type { PathParameter } from '../endpoint.ts'

// Answers

/** An instant: what the services say, or its text. */
export const instant = (): z.ZodType<DateTime> =>
  z
    .custom<DateTime>(value => value instanceof DateTime || (typeof value === 'string' && !!DateTime.parse(value)))
    .meta({ type: 'string', format: 'date-time' })
export const count = () => z.int().min(0)
export const size = () => z.int().min(0).describe('In bytes.')
export const profile = () => z.enum(USER_PROFILES)

/** A process's part of a service. */
export const replica = z
  .object({
    service: z.enum(SERVICE_NAMES),
    replica: z.string().describe('Names it until it ends.'),
    host: z.string(),
  })
  .meta({ id: 'Replica' })
export const unanswered = () =>
  z.array(replica).describe('Replicas that are known and did not answer: what they know is not in this answer.')

// Questions

const MAX_INT = 2 ** 31 - 1
/** JSON has a negative zero, which services would not take for an integer. */
const integer = () => z.int().overwrite(whole => whole + 0)
export const setting = () => integer().min(0).max(MAX_INT)
export const limit = () => setting().nullable().describe('null: no limit.')
/** An instant that somebody gives. */
export const givenInstant = (): z.ZodType<DateTime> =>
  z
    .string()
    .transform((text, context) => {
      const parsed = DateTime.parse(text)
      const instant = parsed && DateTime.fromSeconds(parsed.seconds)
      if (!instant) context.addIssue('This is no instant like 2030-01-31T12:00:00Z.')
      return instant ?? z.NEVER
    })
    .meta({ type: 'string', format: 'date-time' })

/** Longest text to search for, in its normal form as all that is found. */
const MAX_SEARCH = 254
export const search = () =>
  z.string().min(1).max(MAX_SEARCH).refine(isStorable, 'This text cannot be searched for.').normalize().optional()
function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0')
}

const MOST = limits.administration_page.value
const USUAL = 100
/** `limit` and `cursor` of every list. */
export const paging = {
  limit: whole(1, MOST, USUAL).describe(`Most items of the answer, ${USUAL} unless given.`),
  cursor: z
    .string()
    .max(1024)
    .transform((text, context) => {
      const end = readCursor(text)
      if (!end) context.addIssue('This is no `next_cursor` of an earlier answer.')
      return end ?? z.NEVER
    })
    .optional()
    .meta({ type: 'string', description: '`next_cursor` of the page before.' }),
}
export const order = (usual: 'asc' | 'desc') => z.enum(['asc', 'desc']).default(usual)

/** Digits of a query. */
export function whole(min: number, max: number, usual: number) {
  return z
    .string()
    .regex(/^\d{1,9}$/, 'This is no whole number.')
    .transform(Number)
    .pipe(z.int().min(min).max(max))
    .default(usual)
    .meta({ type: 'integer', minimum: min, maximum: max, default: usual })
}

/** What a list that can be sorted is asked for. */
export const pageOf = <S extends string>(query: {
  sort: S
  order: 'asc' | 'desc'
  cursor?: PageEnd | undefined
  limit: number
}): PageOf<S> => ({
  sort: query.sort,
  descending: query.order === 'desc',
  after: query.cursor ?? null,
  limit: query.limit,
})

export const nextCursor = () => z.string().nullable().describe('null: there is no next page.')
export const total = () => count().describe('Of all pages.')

const pageEnd = z.tuple([integer(), z.string().max(300).refine(isStorable)])
export const cursorOf = (end: PageEnd | null): string | null =>
  end && Buffer.from(JSON.stringify(end)).toString('base64url')
function readCursor(text: string): PageEnd | undefined {
  try {
    return pageEnd.parse(JSON.parse(Buffer.from(text, 'base64url').toString()))
  } catch {
    return undefined
  }
}

// Paths

const name = (schema: z.ZodType<string>, unknown: string): PathParameter => ({
  schema: schema.meta({ type: 'string', minLength: 1, maxLength: 32, description: NAME }),
  unknown,
})
const NAME = 'At most 32 bytes of letters, digits, `_` and `-`.'
export const ORGANIZATION = { organization_id: name(organizationId(), 'not_found') }
export const USER = { ...ORGANIZATION, user_id: name(userId(), 'user_not_found') }
export const givenOrganization = () =>
  organizationId().meta({ type: 'string', minLength: 1, maxLength: 32, description: NAME })
export const givenUser = () => userId().meta({ type: 'string', minLength: 1, maxLength: 32, description: NAME })
