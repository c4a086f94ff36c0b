/** Routes that create, show and change organizations (spec 02 §7.2–§7.5). */
import { callInternal } from '@parsec/shared/bus/rpc'
import type { FastifyInstance } from 'fastify'
import { changes, creation, prefers, readBody } from './body.ts'
import { answer, type Deps, NOT_FOUND, organizationOf } from './route.ts'

/** The answer is the new state (RFC 7240). */
const REPRESENTED = ['preference-applied', 'return=representation'] as const

export function organizationRoutes(app: FastifyInstance, deps: Deps): void {
  const { bus } = deps

  app.post('/organizations', async (request, reply) => {
    const body = readBody(request, creation)
    if ('bad' in body) return answer(deps, request, reply, 400, body.bad)
    const { organization_id, ...change } = body.fields
    const target = { organization_id, change }
    const created = await callInternal(bus, 'administration_create', body.fields)
    if (created.status !== 'ok') return answer(deps, request, reply, 400, { error: created.status }, target)
    return answer(deps, request, reply, 200, { bootstrap_token: created.bootstrap_token }, target)
  })

  app.get('/organizations/:organization_id', async (request, reply) => {
    const organization_id = organizationOf(request)
    if (organization_id === undefined) return answer(deps, request, reply, 404, NOT_FOUND)
    const found = await callInternal(bus, 'administration_status', { organization_id })
    if (found.status !== 'ok') return answer(deps, request, reply, 404, NOT_FOUND, organization_id)
    const { status: _, ...shown } = found
    return answer(deps, request, reply, 200, shown, organization_id)
  })

  // The organization is looked up before the body is judged.
  app.patch('/organizations/:organization_id', async (request, reply) => {
    const organization_id = organizationOf(request)
    if (organization_id === undefined) return answer(deps, request, reply, 404, NOT_FOUND)
    const body = readBody(request, changes)
    if ('bad' in body) {
      const found = await callInternal(bus, 'administration_status', { organization_id })
      if (found.status !== 'ok') return answer(deps, request, reply, 404, NOT_FOUND, organization_id)
      return answer(deps, request, reply, 400, body.bad, organization_id)
    }
    const target = { organization_id, change: body.fields }
    const { status } = await callInternal(bus, 'administration_update', { ...body.fields, organization_id })
    if (status !== 'ok') return answer(deps, request, reply, 404, NOT_FOUND, target)
    if (!prefers(request, 'return=representation')) return answer(deps, request, reply, 200, {}, target)
    const changed = await callInternal(bus, 'administration_status', { organization_id })
    if (changed.status !== 'ok') return answer(deps, request, reply, 404, NOT_FOUND, target)
    const { status: _, ...shown } = changed
    return answer(deps, request, reply.header(...REPRESENTED), 200, shown, target)
  })

  app.get('/organizations/:organization_id/stats', async (request, reply) => {
    const organization_id = organizationOf(request)
    if (organization_id === undefined) return answer(deps, request, reply, 404, NOT_FOUND)
    const found = await callInternal(bus, 'administration_stats', { organization_id })
    if (found.status !== 'ok') return answer(deps, request, reply, 404, NOT_FOUND, organization_id)
    const { status: _, ...stats } = found
    return answer(deps, request, reply, 200, stats, organization_id)
  })
}
