/**
 * What a request may hold, learnt from its schema: each field is asked by a wrong value what it would have taken. So a
 * field that is added to the protocol table is fuzzed without a word here.
 */
import { FieldMap } from '@parsec/shared/codec/msgpack'
import { Uuid } from '@parsec/shared/codec/values'
import type { CommandSpec } from '@parsec/shared/protocol/command'
import { z } from 'zod'

export type Shape =
  | { kind: 'bytes' | 'uuid' | 'time' | 'int' | 'float' | 'bool' | 'text' | 'id' | 'handle' | 'unknown' }
  | { kind: 'enumeration'; values: readonly string[] }
  | { kind: 'list'; item: Shape }
  | { kind: 'map'; key: Shape; value: Shape }
  | { kind: 'struct'; fields: { readonly [name: string]: Shape } }

/** The fields of a request in each of its forms. */
export function formsOf({ request }: CommandSpec): readonly { readonly [name: string]: Shape }[] {
  const objects = request instanceof z.ZodDiscriminatedUnion ? request.options : [request]
  return objects.map(object => {
    if (!(object instanceof z.ZodObject)) throw new Error('a request is an object')
    return Object.fromEntries(
      Object.entries(object.shape).map(([name, schema]) => [name, shapeOf(schema as z.ZodType)]),
    )
  })
}

/** No field takes this, and none knows it. */
const WRONG = { toString: () => 'wrong' }

const KINDS: readonly (readonly [RegExp, Exclude<Shape['kind'], 'enumeration' | 'list' | 'map' | 'struct'>])[] = [
  [/^Not bytes|verify key/, 'bytes'],
  [/^Not an UUID/, 'uuid'],
  [/^Not a datetime/, 'time'],
  [/integer/, 'int'],
  [/number/, 'float'],
  [/boolean/, 'bool'],
  [/valid string/, 'text'],
  [/^Not string/, 'id'],
  [/^Invalid data/, 'handle'],
]

function shapeOf(schema: z.ZodType): Shape {
  const constant = /should be `(.*)`/.exec(flaw(schema, WRONG))?.[1]
  if (constant !== undefined) return { kind: 'enumeration', values: [constant] }
  if (/valid list/.test(flaw(schema, WRONG))) return { kind: 'list', item: itemOf(schema, value => [value]) }
  if (/mapping type/.test(flaw(schema, WRONG))) return structOf(schema) ?? mapOf(schema)
  if (/^Invalid role/.test(flaw(schema, 'no such value')))
    return { kind: 'enumeration', values: ENUMERATED.filter(value => flaw(schema, value) === '') }
  const kind = KINDS.find(([text]) => text.test(flaw(schema, WRONG)))?.[1] ?? 'unknown'
  return { kind }
}
/** All that enumerations of the protocol may say. */
const ENUMERATED = 'USER DEVICE SHAMIR_RECOVERY FINISHED CANCELLED ROTTEN ADMIN STANDARD OUTSIDER'.split(' ')

const itemOf = (schema: z.ZodType, around: (value: unknown) => unknown): Shape =>
  shapeOf(
    z
      .unknown()
      .transform(around)
      .pipe(schema as never),
  )

/** A structure tells which fields it misses, each at the end of its path. */
function structOf(schema: z.ZodType): Shape | undefined {
  const result = schema.safeParse(new FieldMap(), { reportInput: true })
  if (result.success) return undefined
  const names = result.error.issues.map(({ path }) => String(path.at(-1)))
  return {
    kind: 'struct',
    fields: Object.fromEntries(
      names.map(name => [name, itemOf(schema, value => Object.assign(new FieldMap(), { [name]: value }))]),
    ),
  }
}
function mapOf(schema: z.ZodType): Shape {
  const key = itemOf(schema, value => new Map([[value, WRONG]]))
  const good = key.kind === 'uuid' ? Uuid.random() : 'alice'
  return { kind: 'map', key, value: itemOf(schema, value => new Map([[good, value]])) }
}

/** The first text that a schema has against a value, at whatever depth it is; empty when it has none. */
function flaw(schema: z.ZodType, value: unknown): string {
  const result = schema.safeParse(value, { reportInput: true })
  if (result.success) return ''
  const issue = result.error.issues.find(({ message }) => !/Missing data/.test(message)) ?? result.error.issues[0]
  return issue?.message ?? ''
}
