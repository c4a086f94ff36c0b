/** Users of an organization with their devices: list, show, freeze. */
import { callInternal } from '@parsec/shared/bus/rpc'
import { USER_SORTS, USER_STATES } from '@parsec/shared/protocol/administration'
import type { OrganizationID, UserID } from '@parsec/shared/protocol/types'
import { z } from 'zod'
import { type Endpoint, endpoint, refuse } from '../endpoint.ts'
import type { Deps } from '../route.ts'
import { connectionsOf } from './connections.ts'
import {
  count,
  cursorOf,
  instant,
  nextCursor,
  ORGANIZATION,
  order,
  pageOf,
  paging,
  profile,
  search,
  total,
  USER,
  unanswered,
} from './fields.ts'

const user = z
  .object({
    user_id: z.string(),
    email: z.string().nullable(),
    name: z.string().nullable(),
    profile: profile(),
    created_on: instant(),
    revoked_on: instant().nullable(),
    is_frozen: z.boolean().describe('Cannot connect until an administrator says otherwise.'),
    last_seen_on: instant().nullable().describe('When a device of theirs last connected or left, to the minute.'),
    devices: count(),
    connections: count().describe('Open now.'),
  })
  .meta({ id: 'User' })

const list = endpoint(
  {
    method: 'GET',
    path: '/v2/organizations/{organization_id}/users',
    operationId: 'listUsers',
    tag: 'Users',
    summary: 'List the users of an organization',
    params: ORGANIZATION,
    query: {
      ...paging,
      search: search().describe('Part of the user id, the e-mail address or the name.'),
      state: z.enum(USER_STATES).optional(),
      sort: z.enum(USER_SORTS).default('created_on'),
      order: order('asc'),
    },
    answer: z.object({
      users: z.array(user),
      next_cursor: nextCursor(),
      total: total(),
      unanswered: unanswered(),
    }),
  },
  async (deps, { params, query: { search = null, state = null, ...query } }) => {
    const found = await callInternal(deps.bus, 'admin_users', { ...params, ...pageOf(query), search, state })
    if (found.status !== 'ok') return refuse(404, found.status)
    const { users, next, total } = found
    const { connections, unanswered } = await connectionsOf(deps, params.organization_id, users)
    return {
      users: users.map(user => ({ ...user, connections: connections.users.get(user.user_id) ?? 0 })),
      next_cursor: cursorOf(next),
      total,
      unanswered,
    }
  },
)

const shown = z.object({ user, unanswered: unanswered() })

const show = endpoint(
  {
    method: 'GET',
    path: '/v2/organizations/{organization_id}/users/{user_id}',
    operationId: 'showUser',
    tag: 'Users',
    summary: 'Show a user',
    params: USER,
    answer: shown,
    refusals: { 404: ['user_not_found'] },
  },
  (deps, { params }) => showUser(deps, params),
)

const change = endpoint(
  {
    method: 'PATCH',
    path: '/v2/organizations/{organization_id}/users/{user_id}',
    operationId: 'changeUser',
    tag: 'Users',
    summary: 'Freeze or unfreeze a user',
    description: 'A frozen user is disconnected at once and cannot connect. The answer is the new state.',
    params: USER,
    body: z.object({ is_frozen: z.boolean() }),
    answer: shown,
    refusals: { 404: ['user_not_found'], 409: ['user_revoked'] },
    example: { body: { is_frozen: true } },
  },
  async (deps, { params, body }) => {
    const { status } = await callInternal(deps.bus, 'admin_freeze', { ...params, ...body })
    if (status !== 'ok') return refuse(status === 'user_revoked' ? 409 : 404, status)
    return showUser(deps, params)
  },
)

const devices = endpoint(
  {
    method: 'GET',
    path: '/v2/organizations/{organization_id}/users/{user_id}/devices',
    operationId: 'listDevices',
    tag: 'Users',
    summary: 'List the devices of a user',
    params: USER,
    query: paging,
    answer: z.object({
      devices: z.array(
        z.object({
          device_id: z.string(),
          label: z.string().nullable(),
          created_on: instant(),
          last_seen_on: instant().nullable(),
          connections: count().describe('Open now.'),
        }),
      ),
      next_cursor: nextCursor(),
      total: total(),
      unanswered: unanswered(),
    }),
    refusals: { 404: ['user_not_found'] },
  },
  async (deps, { params, query }) => {
    const page = pageOf({ ...query, sort: 'created_on', order: 'asc' })
    const found = await callInternal(deps.bus, 'admin_devices', { ...params, ...page })
    if (found.status !== 'ok') return refuse(404, found.status)
    const { devices, next, total } = found
    const { connections, unanswered } = await connectionsOf(deps, params.organization_id, [params])
    return {
      devices: devices.map(device => ({ ...device, connections: connections.devices.get(device.device_id) ?? 0 })),
      next_cursor: cursorOf(next),
      total,
      unanswered,
    }
  },
)

async function showUser(deps: Deps, params: { organization_id: OrganizationID; user_id: UserID }) {
  const found = await callInternal(deps.bus, 'admin_user', params)
  if (found.status !== 'ok') return refuse(404, found.status)
  const { connections, unanswered } = await connectionsOf(deps, params.organization_id, [found.user])
  return { user: { ...found.user, connections: connections.users.get(params.user_id) ?? 0 }, unanswered }
}

export const userEndpoints: readonly Endpoint[] = [list, show, change, devices]
