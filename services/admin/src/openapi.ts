/**
 * The administration API as an OpenAPI document, made from what the routes check and answer: what an administrator reads
 * and what client generators take.
 */
import { z } from 'zod'
import { CSV_ROUTE, compatibleRoutes } from './compatible.ts'
import { type Description, scopeOf, TAGS } from './endpoint.ts'
import { endpoints } from './endpoints.ts'

type Json = { [key: string]: unknown }

const DESCRIPTION = `Organizations, users and services of a Parsec server.

Every call needs a token (\`Authorization: Bearer TOKEN\`): that of \`--administration-token\`, or one of the named ones in the file of \`--administration-token-file\`, which may only \`read\` or also \`write\`. What changes something, or shows a secret, needs \`write\`.

Bodies are JSON whatever the content type says. Every error is JSON: \`error\` is for programs, \`reason\` for people. Lists are read page by page: \`next_cursor\` of an answer is the \`cursor\` of the next call.

Routes without \`/v2\` are those of earlier servers: there unknown fields are ignored, unless they look like a misspelt known one; with \`Prefer: handling=strict\` they are refused.`

/** What any route may answer. */
const ALWAYS: { readonly [status: number]: readonly string[] } = {
  403: ['not_allowed'],
  429: ['too_many_requests'],
  503: ['unavailable'],
}
const MEANINGS: { readonly [status: string]: string } = {
  200: 'Done.',
  201: 'Created.',
  202: 'Not all is done: repeat the call.',
  400: 'A field is missing or wrong; `reason` says which.',
  403: 'The token is missing or wrong, or may not do this.',
  404: 'There is no such thing.',
  409: 'The state of the thing does not allow it.',
  413: 'The body is longer than 1 MiB.',
  429: 'Too many refused calls from this address; try again in a few seconds.',
  502: 'Somebody outside refused it; `reason` says why.',
  503: 'A service is away; try again. Nothing was done, unless the answer was lost.',
}

/** `version`: of the server. */
export function openApiDocument(version: string) {
  const schemas: Json = {}
  const paths: { [path: string]: { [method: string]: Json } } = {}
  for (const route of [...endpoints.map(({ description }) => description), ...compatibleRoutes])
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: operation(route, schemas) }
  return {
    openapi: '3.1.0',
    info: { title: 'Parsec administration', version, description: DESCRIPTION },
    servers: [{ url: '/administration' }],
    security: [{ token: [] as string[] }],
    tags: TAGS.map(name => ({ name })),
    components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } }, schemas },
    paths,
  }
}

function operation(route: Description, schemas: Json): Json {
  const { operationId, tag, summary, description, body, example } = route
  return {
    operationId,
    tags: [tag],
    summary,
    description: [description, `Needs the scope \`${scopeOf(route)}\`.`].filter(Boolean).join('\n\n'),
    ...parametersOf(route, schemas),
    ...(body && {
      requestBody: {
        required: true,
        content: {
          'application/json': {
            schema: schemaOf(isV2(route) ? body.strict() : body, 'input', schemas),
            ...exampleOf(example?.body),
          },
        },
      },
    }),
    responses: responsesOf(route, schemas),
  }
}

function parametersOf({ params = {}, query = {} }: Description, schemas: Json): Json {
  const inPath = Object.entries(params).map(([name, { schema }]) => ({
    name,
    in: 'path',
    required: true,
    schema: schemaOf(schema, 'input', schemas),
  }))
  const asked = Object.entries(query).map(([name, schema]) => ({
    name,
    in: 'query',
    required: !schema.safeParse(undefined).success,
    schema: schemaOf(schema, 'input', schemas),
  }))
  const parameters = [...inPath, ...asked]
  return parameters.length > 0 ? { parameters } : {}
}

function responsesOf(route: Description, schemas: Json): Json {
  const { status = 200, answer, example, params = {}, body, query, refusals = {}, operationId } = route
  const errors = new Map<string, Set<string>>()
  const add = (more: { readonly [status: number]: readonly string[] }) => {
    for (const [status, codes] of Object.entries(more))
      errors.set(status, new Set([...(errors.get(status) ?? []), ...codes]))
  }
  add(ALWAYS)
  for (const { unknown } of Object.values(params)) add({ 404: [unknown] })
  if (body || query || isV2(route)) add({ 400: ['bad_data'] })
  if (body) add({ 413: ['too_large'] })
  add(refusals)
  const shown = {
    'application/json': { schema: schemaOf(answer, 'output', schemas), ...exampleOf(example?.answer) },
    ...(operationId === CSV_ROUTE && { 'text/csv': { schema: { type: 'string' } } }),
  }
  return Object.fromEntries([
    [String(status), { description: MEANINGS[status], content: shown }],
    ...(route.isUnfinished ? [['202', { description: MEANINGS[202], content: shown }]] : []),
    ...[...errors]
      .sort(([a], [b]) => Number(a) - Number(b))
      .map(([status, codes]) => [
        status,
        { description: MEANINGS[status], content: { 'application/json': { schema: failure([...codes]) } } },
      ]),
  ])
}

const failure = (codes: readonly string[]): Json => ({
  type: 'object',
  properties: {
    error: { type: 'string', enum: codes },
    reason: { type: 'string', description: 'For people.' },
    ...(codes.includes('bad_data') && {
      fields: {
        type: 'object',
        additionalProperties: { type: 'array', items: { type: 'string' } },
        description: 'What is wrong with which field.',
      },
    }),
  },
  required: ['error'],
})
/** There fields that are not known are refused. */
const isV2 = ({ path }: Description): boolean => path.startsWith('/v2')
const exampleOf = (example: unknown): Json => (example === undefined ? {} : { example })

/** The JSON schema of a field; what has a name goes among those of the document. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output', schemas: Json): Json {
  const made = z.toJSONSchema(schema, { io, unrepresentable: 'any' }) as Json
  const {
    $schema: _,
    $defs = {},
    ...own
  } = JSON.parse(JSON.stringify(made).replaceAll('"#/$defs/', '"#/components/schemas/')) as Json
  Object.assign(schemas, $defs)
  return own
}
