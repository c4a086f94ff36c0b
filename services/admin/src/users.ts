/** Routes that list, freeze and unfreeze the users of an organization (spec 02 §7.7, §7.8). */
import { callInternal } from '@parsec/shared/bus/rpc'
import type { FastifyInstance } from 'fastify'
import { badData, freezing, readBody } from './body.ts'
import { answer, type Deps, NOT_FOUND, organizationOf } from './route.ts'

const NEITHER = badData('Missing either `user_id` or `user_email` field')
const BOTH = badData('Both `user_id` and `user_email` fields are provided')

export function userRoutes(app: FastifyInstance, deps: Deps): void {
  const { bus } = deps

  app.get('/organizations/:organization_id/users', async (request, reply) => {
    const organization_id = organizationOf(request)
    if (organization_id === undefined) return answer(deps, request, reply, 404, NOT_FOUND)
    const found = await callInternal(bus, 'administration_users', { organization_id })
    if (found.status !== 'ok') return answer(deps, request, reply, 404, NOT_FOUND, organization_id)
    return answer(deps, request, reply, 200, { users: found.users }, organization_id)
  })

  // Unlike elsewhere the body is judged before the organization.
  app.post('/organizations/:organization_id/users/freeze', async (request, reply) => {
    const body = readBody(request, freezing)
    if ('bad' in body) return answer(deps, request, reply, 400, body.bad)
    const { user_id, user_email } = body.fields
    if (user_id === undefined && user_email === undefined) return answer(deps, request, reply, 400, NEITHER)
    if (user_id !== undefined && user_email !== undefined) return answer(deps, request, reply, 400, BOTH)
    const organization_id = organizationOf(request)
    if (organization_id === undefined) return answer(deps, request, reply, 404, NOT_FOUND)
    const { frozen: is_frozen, ...named } = body.fields
    const target = { organization_id, ...named, change: { frozen: is_frozen } }
    const frozen = await callInternal(bus, 'administration_freeze', { ...body.fields, organization_id })
    if (frozen.status !== 'ok') return answer(deps, request, reply, 404, { error: frozen.status }, target)
    const { status: _, ...shown } = frozen
    return answer(deps, request, reply, 200, shown, target)
  })
}
