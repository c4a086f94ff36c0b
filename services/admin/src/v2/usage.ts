/** Who and what takes how much room in an organization. */
import { callInternal } from '@parsec/shared/bus/rpc'
import { REALM_SORTS, USER_USAGE_SORTS } from '@parsec/shared/protocol/administration'
import { MAINTENANCE_TYPES } from '@parsec/shared/protocol/types'
import { z } from 'zod'
import { type Endpoint, endpoint, refuse } from '../endpoint.ts'
import { count, cursorOf, instant, nextCursor, ORGANIZATION, order, pageOf, paging, size, total } from './fields.ts'

const realm = z
  .object({
    realm_id: z.string().regex(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
    created_on: instant(),
    owners: z.array(z.string()).describe('The first ten.'),
    members: count().describe('Users with a role, owners included.'),
    data_size: size(),
    metadata_size: size(),
    encryption_revision: count(),
    archiving: z.enum(['AVAILABLE', 'ARCHIVED', 'DELETION_PLANNED']),
    deletion_date: instant().nullable(),
    maintenance: z.enum(MAINTENANCE_TYPES).nullable(),
  })
  .meta({ id: 'RealmUsage' })

const realms = endpoint(
  {
    method: 'GET',
    path: '/v2/organizations/{organization_id}/usage/realms',
    operationId: 'listRealmUsage',
    tag: 'Usage',
    summary: 'List the realms of an organization with their sizes',
    params: ORGANIZATION,
    query: { ...paging, sort: z.enum(REALM_SORTS).default('size'), order: order('desc') },
    answer: z.object({ realms: z.array(realm), next_cursor: nextCursor(), total: total() }),
  },
  async ({ bus }, { params, query }) => {
    const found = await callInternal(bus, 'admin_realm_usage', { ...params, ...pageOf(query) })
    if (found.status !== 'ok') return refuse(404, found.status)
    const { realms, next, total } = found
    return {
      realms: realms.map(realm => ({ ...realm, realm_id: realm.realm_id.hyphenated })),
      next_cursor: cursorOf(next),
      total,
    }
  },
)

const user = z
  .object({
    user_id: z.string(),
    email: z.string().nullable(),
    name: z.string().nullable(),
    realms: count().describe('In which the user has a role.'),
    owned_realms: count(),
    data_size: size(),
    metadata_size: size(),
  })
  .meta({ id: 'UserUsage' })

const users = endpoint(
  {
    method: 'GET',
    path: '/v2/organizations/{organization_id}/usage/users',
    operationId: 'listUserUsage',
    tag: 'Usage',
    summary: 'List the users of an organization with what they own',
    description: 'Sizes are those of the realms that a user owns; one with several owners counts for each of them.',
    params: ORGANIZATION,
    query: { ...paging, sort: z.enum(USER_USAGE_SORTS).default('size'), order: order('desc') },
    answer: z.object({ users: z.array(user), next_cursor: nextCursor(), total: total() }),
  },
  async ({ bus }, { params, query }) => {
    const found = await callInternal(bus, 'admin_user_usage', { ...params, ...pageOf(query) })
    if (found.status !== 'ok') return refuse(404, found.status)
    return { users: found.users, next_cursor: cursorOf(found.next), total: found.total }
  },
)

export const usageEndpoints: readonly Endpoint[] = [realms, users]
