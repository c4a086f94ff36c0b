/** The routes that released clients and tools know (spec 02 §7), for the document: their handlers keep their own order of checks. */
import { USER_PROFILES } from '@parsec/shared/protocol/types'
import { z } from 'zod'
import { changes, creation, freezing } from './body.ts'
import type { Description } from './endpoint.ts'
import { ORGANIZATION } from './v2/fields.ts'

const count = () => z.int().min(0)
const size = () => count().describe('In bytes.')
const settings = {
  user_profile_outsider_allowed: z.boolean(),
  active_users_limit: count().nullable().describe('null: no limit.'),
  minimum_archiving_period: count().describe('In seconds.'),
}
const state = z.object({ is_bootstrapped: z.boolean(), is_expired: z.boolean(), ...settings })
const sizes = { data_size: size(), metadata_size: size(), realms: count(), active_users: count() }
const perProfile = z.array(z.object({ profile: z.enum(USER_PROFILES), active: count(), revoked: count() }))
const user = z.object({ user_id: z.string(), user_email: z.string(), user_name: z.string(), frozen: z.boolean() })

/** Which have a body of the media type CSV besides. */
export const CSV_ROUTE = 'showServerStats'

export const compatibleRoutes: readonly Description[] = [
  {
    method: 'POST',
    path: '/organizations',
    operationId: 'createOrganizationV1',
    tag: 'Compatible',
    summary: 'Create an organization',
    description:
      'The answer holds the token of its bootstrap link. An organization that nobody bootstrapped may be created again, which makes a new token.',
    body: creation,
    answer: z.object({ bootstrap_token: z.string().regex(/^[0-9a-f]{64}$/) }),
    refusals: { 400: ['already_exists'] },
    example: { body: { organization_id: 'Acme' } },
  },
  {
    method: 'GET',
    path: '/organizations/{organization_id}',
    operationId: 'showOrganizationV1',
    tag: 'Compatible',
    summary: 'Show an organization',
    params: ORGANIZATION,
    answer: state,
  },
  {
    method: 'PATCH',
    path: '/organizations/{organization_id}',
    operationId: 'changeOrganizationV1',
    tag: 'Compatible',
    summary: 'Change an organization',
    description:
      'What is absent stays. `is_expired: true` closes the organization and disconnects its users at once. With `Prefer: return=representation` the answer is the new state.',
    params: ORGANIZATION,
    body: changes,
    answer: state.partial(),
    example: { body: { active_users_limit: 50 } },
  },
  {
    method: 'GET',
    path: '/organizations/{organization_id}/stats',
    operationId: 'showOrganizationStats',
    tag: 'Compatible',
    summary: 'Statistics of an organization',
    params: ORGANIZATION,
    answer: z.object({ ...sizes, users: count(), users_per_profile_detail: perProfile }),
  },
  {
    method: 'GET',
    path: '/organizations/{organization_id}/users',
    operationId: 'listUsersV1',
    tag: 'Compatible',
    summary: 'Users of an organization',
    description: 'Those with an e-mail address, revoked ones included, in order of creation.',
    params: ORGANIZATION,
    answer: z.object({ users: z.array(user) }),
  },
  {
    method: 'POST',
    path: '/organizations/{organization_id}/users/freeze',
    operationId: 'freezeUserV1',
    tag: 'Compatible',
    summary: 'Freeze or unfreeze a user',
    description: 'A frozen user cannot connect. Exactly one of `user_id` and `user_email` is given.',
    params: ORGANIZATION,
    body: freezing,
    answer: user,
    refusals: { 404: ['user_not_found'] },
    example: { body: { frozen: true, user_email: 'alice@example.com' } },
  },
  {
    method: 'GET',
    path: '/stats',
    operationId: CSV_ROUTE,
    tag: 'Compatible',
    summary: 'Statistics of every organization',
    query: {
      format: z.enum(['json', 'csv']),
      at: z
        .string()
        .optional()
        .meta({ type: 'string', format: 'date-time', description: 'As of then; by default now.' }),
    },
    answer: z.object({
      stats: z.array(z.object({ organization_id: z.string(), ...sizes, users_per_profile_detail: perProfile })),
    }),
  },
]
