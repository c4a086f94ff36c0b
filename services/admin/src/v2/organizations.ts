/** Organizations: list, create, show, change. */
import type { Bus } from '@parsec/shared/bus/bus'
import { callInternal } from '@parsec/shared/bus/rpc'
import { ORGANIZATION_SORTS, ORGANIZATION_STATES } from '@parsec/shared/protocol/administration'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import { z } from 'zod'
import { type Endpoint, endpoint, refuse } from '../endpoint.ts'
import {
  count,
  cursorOf,
  givenInstant,
  givenOrganization,
  instant,
  limit,
  nextCursor,
  ORGANIZATION,
  order,
  pageOf,
  paging,
  profile,
  search,
  setting,
  size,
  total,
} from './fields.ts'

const organization = z
  .object({
    organization_id: z.string(),
    created_on: instant(),
    is_bootstrapped: z.boolean().describe('Whether its first user exists.'),
    bootstrapped_on: instant().nullable(),
    is_expired: z.boolean().describe('Nobody can connect.'),
    expiration_date: instant().nullable().describe('When it expires by itself, or did.'),
    expired_on: instant().nullable(),
    is_sequestered: z.boolean(),
    user_profile_outsider_allowed: z.boolean(),
    active_users_limit: limit(),
    minimum_archiving_period: setting().describe('In seconds.'),
    users: count().describe('Revoked ones included.'),
    active_users: count(),
    users_per_profile_detail: z.array(z.object({ profile: profile(), active: count(), revoked: count() })),
    realms: count(),
    data_size: size(),
    metadata_size: size(),
  })
  .meta({ id: 'Organization' })

const bootstrap = {
  bootstrap_token: z.string(),
  bootstrap_link: z.string().describe('Whoever opens it first becomes the first user: a secret until then.'),
}

const SETTINGS = {
  user_profile_outsider_allowed: z.boolean().exactOptional(),
  active_users_limit: limit().exactOptional(),
  minimum_archiving_period: setting().describe('In seconds.').exactOptional(),
}

const EXAMPLE = {
  organization_id: 'Acme',
  created_on: '2026-01-31T12:00:00.000000Z',
  is_bootstrapped: false,
  bootstrapped_on: null,
  is_expired: false,
  expiration_date: null,
  expired_on: null,
  is_sequestered: false,
  user_profile_outsider_allowed: true,
  active_users_limit: 50,
  minimum_archiving_period: 2_592_000,
  users: 0,
  active_users: 0,
  users_per_profile_detail: [
    { profile: 'ADMIN', active: 0, revoked: 0 },
    { profile: 'STANDARD', active: 0, revoked: 0 },
    { profile: 'OUTSIDER', active: 0, revoked: 0 },
  ],
  realms: 0,
  data_size: 0,
  metadata_size: 0,
}

const list = endpoint(
  {
    method: 'GET',
    path: '/v2/organizations',
    operationId: 'listOrganizations',
    tag: 'Organizations',
    summary: 'List organizations',
    query: {
      ...paging,
      search: search().describe('Part of the id.'),
      state: z.enum(ORGANIZATION_STATES).optional(),
      sort: z.enum(ORGANIZATION_SORTS).default('organization_id'),
      order: order('asc'),
    },
    answer: z.object({ organizations: z.array(organization), next_cursor: nextCursor(), total: total() }),
    example: { answer: { organizations: [EXAMPLE], next_cursor: null, total: 1 } },
  },
  async ({ bus }, { query: { search = null, state = null, ...query } }) => {
    const asked = { ...pageOf(query), search, state }
    const { organizations, next, total } = await callInternal(bus, 'admin_organizations', asked)
    return { organizations, next_cursor: cursorOf(next), total }
  },
)

const create = endpoint(
  {
    method: 'POST',
    path: '/v2/organizations',
    operationId: 'createOrganization',
    tag: 'Organizations',
    summary: 'Create an organization',
    description:
      'The answer holds the link by which its first user bootstraps it. An organization that nobody bootstrapped may be created again: its settings are those of the new request, and the earlier link is void.',
    body: z.object({ organization_id: givenOrganization(), ...SETTINGS }),
    status: 201,
    answer: z.object({ organization, ...bootstrap }),
    refusals: { 409: ['already_exists'] },
    example: {
      body: { organization_id: 'Acme', active_users_limit: 50 },
      answer: {
        organization: EXAMPLE,
        bootstrap_token: 'a0'.repeat(32),
        bootstrap_link: `parsec://parsec.example.com/Acme?action=bootstrap_organization&token=${'a0'.repeat(32)}`,
      },
    },
  },
  async ({ bus }, { body }) => {
    const created = await callInternal(bus, 'administration_create', body)
    if (created.status !== 'ok') return refuse(409, created.status)
    const { status: _, ...link } = created
    const shown = await callInternal(bus, 'admin_organization', { organization_id: body.organization_id })
    return shown.status === 'ok' ? { organization: shown.organization, ...link } : refuse(404, shown.status)
  },
)

const show = endpoint(
  {
    method: 'GET',
    path: '/v2/organizations/{organization_id}',
    operationId: 'showOrganization',
    tag: 'Organizations',
    summary: 'Show an organization',
    params: ORGANIZATION,
    answer: organization,
    example: { answer: EXAMPLE },
  },
  ({ bus }, { params }) => showOrganization(bus, params),
)

const change = endpoint(
  {
    method: 'PATCH',
    path: '/v2/organizations/{organization_id}',
    operationId: 'changeOrganization',
    tag: 'Organizations',
    summary: 'Change limits and expiry',
    description:
      'What is absent stays; the answer is the new state. `is_expired: true`, or a date that has passed, closes the organization and disconnects its users at once; `false` opens it again.',
    params: ORGANIZATION,
    body: z.object({
      is_expired: z.boolean().exactOptional(),
      expiration_date: givenInstant().nullable().describe('null: never.').exactOptional(),
      ...SETTINGS,
    }),
    answer: organization,
    example: { body: { active_users_limit: 50 }, answer: EXAMPLE },
  },
  async ({ bus }, { params, body }) => {
    const { status } = await callInternal(bus, 'administration_update', { ...body, ...params })
    return status === 'ok' ? showOrganization(bus, params) : refuse(404, status)
  },
)

async function showOrganization(bus: Bus, params: { organization_id: OrganizationID }) {
  const shown = await callInternal(bus, 'admin_organization', params)
  return shown.status === 'ok' ? shown.organization : refuse(404, shown.status)
}

const link = endpoint(
  {
    method: 'GET',
    path: '/v2/organizations/{organization_id}/bootstrap',
    operationId: 'showBootstrapLink',
    tag: 'Organizations',
    summary: 'Show the link by which an organization is bootstrapped',
    scope: 'write',
    params: ORGANIZATION,
    answer: z.object(bootstrap),
    refusals: { 409: ['already_bootstrapped'] },
  },
  async ({ bus }, { params }) => {
    const found = await callInternal(bus, 'admin_bootstrap', params)
    if (found.status !== 'ok') return refuse(found.status === 'not_found' ? 404 : 409, found.status)
    const { status: _, ...link } = found
    return link
  },
)

export const organizationEndpoints: readonly Endpoint[] = [list, create, show, change, link]
