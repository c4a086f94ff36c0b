/** What the routes share: the service's means, who calls, answers, and the audit line that each call leaves. */
import type { Bus } from '@parsec/shared/bus/bus'
import type { Roll } from '@parsec/shared/bus/roll'
import { organizationId, parse } from '@parsec/shared/codec/fields'
import type { Bearer } from '@parsec/shared/http/administration-guard'
import type { Log } from '@parsec/shared/log'
import type { FastifyReply, FastifyRequest } from 'fastify'

export type Deps = { bus: Bus; log: Log; roll: Roll }

export const NOT_FOUND = { error: 'not_found' } as const

/** The organization that the path names, normalised; undefined when it is no valid id, which is answered like an unknown one. */
export function organizationOf(request: FastifyRequest): string | undefined {
  const parsed = parse(organizationId(), (request.params as { organization_id?: string }).organization_id)
  return parsed.ok ? parsed.value : undefined
}

/** Of an audit line: what was acted on, and what was to become of it. */
export type Target = {
  readonly organization_id?: string
  readonly [name: string]: string | undefined | Change
  readonly change?: Change
}
type Change = { readonly [field: string]: unknown }

/** Sends `body` and leaves the audit line; the token is never in it. */
export function answer(
  { log }: Pick<Deps, 'log'>,
  request: FastifyRequest,
  reply: FastifyReply,
  status: number,
  body: object | string,
  target: Target | string = {},
): FastifyReply {
  const outcome = typeof body === 'object' && 'error' in body ? String(body.error) : 'ok'
  audit(log, request, outcome, typeof target === 'string' ? { organization_id: target } : target)
  return reply.code(status).send(body)
}

export function audit(log: Log, request: FastifyRequest, outcome: string, target: Target = {}): void {
  log.info('Administration', {
    route: `${request.method} ${request.routeOptions.url}`,
    ...target,
    outcome,
    token: bearerOf(request)?.name,
    address: request.ip,
  })
}

/** Who showed a right token; known once the route's guard has let the request pass. */
export const bearerOf = (request: FastifyRequest): Bearer | null => request.getDecorator<Bearer | null>('bearer')
