/**
 * One route of `/administration/v2`: its schemas check what comes, type what its handler gets and answers, and make its
 * part of the OpenAPI document, so that the three are one.
 */
import type { Scope } from '@parsec/shared/http/administration-tokens'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { parseJson } from './body.ts'
import { answer, type Deps } from './route.ts'

export const TAGS = ['Organizations', 'Users', 'Usage', 'Connections', 'Server', 'Compatible'] as const

/** What a path names; a text that is none is answered like one that nobody has. */
export type PathParameter = { readonly schema: z.ZodType<string>; readonly unknown: string }
type Parameters = { readonly [name: string]: PathParameter }
type Fields = { readonly [name: string]: z.ZodType }

/** What everybody who reads the document is told. */
export type Description = {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** Below `/administration`, with `{name}` for parameters. */
  readonly path: string
  readonly operationId: string
  readonly tag: (typeof TAGS)[number]
  readonly summary: string
  readonly description?: string
  /** Unless it follows from the method. */
  readonly scope?: Scope
  readonly params?: Parameters
  readonly query?: Fields
  readonly body?: z.ZodObject
  readonly status?: number
  readonly answer: z.ZodType
  /** Whether an answer is not the end: it is sent as 202, and the same is to be asked again. */
  isUnfinished?(answer: never): boolean
  /** Refusals of this route, by status, besides those that all routes have. */
  readonly refusals?: { readonly [status: number]: readonly string[] }
  readonly example?: { readonly body?: unknown; readonly answer?: unknown }
}

export type Refusal = { readonly status: number; readonly error: string; readonly reason?: string }
/** `more`: what programs need to know besides. */
export const refuse = (status: number, error: string, reason?: string, more: object = {}): { refusal: Refusal } => ({
  refusal: { status, error, ...(reason !== undefined && { reason }), ...more },
})

type Given<D extends Description> = {
  params: { [N in keyof NonNullable<D['params']>]: string }
  query: { [N in keyof NonNullable<D['query']>]: z.output<NonNullable<D['query']>[N]> }
  body: D['body'] extends z.ZodObject ? z.output<D['body']> : undefined
  request: FastifyRequest
}
type Outcome<D extends Description> = z.output<D['answer']> | { refusal: Refusal }
export type Endpoint = { readonly description: Description; register(app: FastifyInstance, deps: Deps): void }

export function endpoint<const D extends Description>(
  description: D,
  handle: (deps: Deps, given: Given<D>) => Promise<Outcome<D>>,
): Endpoint {
  return {
    description,
    register: (app, deps) =>
      app.route({
        method: description.method,
        url: description.path.replace(/\{(\w+)\}/g, ':$1'),
        config: { scope: scopeOf(description) },
        handler: async (request, reply) => {
          const given = read(description, request)
          const change = 'refusal' in given || description.tag === 'Server' ? undefined : given.body
          const target = { ...created(change), ...shortened(pathOf(request)), ...(change && { change }) }
          const send = (status: number, body: object) => answer(deps, request, reply, status, body, target)
          if ('refusal' in given) {
            const { status, ...body } = given.refusal
            return send(status, body)
          }
          const outcome = await handle(deps, given as Given<D>)
          if (typeof outcome === 'object' && outcome !== null && 'refusal' in outcome) {
            const { status, ...body } = (outcome as { refusal: Refusal }).refusal
            return send(status, body)
          }
          const isUnfinished = description.isUnfinished?.(outcome as never) ?? false
          return send(isUnfinished ? 202 : (description.status ?? 200), outcome as object)
        },
      }),
  }
}

export const scopeOf = ({ method, scope }: Pick<Description, 'method' | 'scope'>): Scope =>
  scope ?? (method === 'GET' ? 'read' : 'write')
/** What a path names may be of any length, and nobody's. */
const shortened = (names: { [name: string]: string }) =>
  Object.fromEntries(Object.entries(names).map(([name, text]) => [name, text.slice(0, MAX_NAME)]))
const pathOf = (request: FastifyRequest) => request.params as { [name: string]: string }

/** What has no path of its own yet is named by the body. */
const created = (body: object | undefined): { organization_id?: string } =>
  body && 'organization_id' in body ? { organization_id: String(body.organization_id) } : {}

/** A path that names nothing, then what is wrong with the query and the body. */
function read({ params = {}, query = {}, body }: Description, request: FastifyRequest) {
  const path: { [name: string]: string } = {}
  for (const [name, { schema, unknown }] of Object.entries(params)) {
    const parsed = schema.safeParse(pathOf(request)[name])
    if (!parsed.success) return refuse(404, unknown)
    path[name] = parsed.data
  }
  const asked = z.strictObject(query).safeParse(request.query)
  if (!asked.success) return badFields(asked.error)
  if (!body) return { params: path, query: asked.data, body: undefined, request }
  const json = parseJson(request.body)
  if (!json) return refuse(400, 'bad_data', 'The body is no JSON.')
  const fields = body.strict().safeParse(json.value)
  return fields.success ? { params: path, query: asked.data, body: fields.data, request } : badFields(fields.error)
}

/** Most problems that are told. */
const MAX_PROBLEMS = 10
const MAX_NAME = 64
function badFields({ issues }: z.ZodError) {
  const fields: { [name: string]: string[] } = Object.create(null)
  for (const issue of issues.slice(0, MAX_PROBLEMS)) {
    const names = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, MAX_PROBLEMS) : [issue.path.join('.')]
    const text = issue.code === 'unrecognized_keys' ? 'There is no such field.' : issue.message
    for (const name of names) (fields[name.slice(0, MAX_NAME) || 'body'] ??= []).push(text)
  }
  const [first] = Object.entries(fields)
  const refusal = { status: 400, error: 'bad_data', reason: `${first![0]}: ${first![1][0]}`, fields }
  return { refusal }
}
