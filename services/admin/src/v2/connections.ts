/** Who is connected, to whichever gateway; and the end of a connection. */
import type { OrganizationID, UserID } from '@parsec/shared/protocol/types'
import { z } from 'zod'
import { type Endpoint, endpoint, refuse } from '../endpoint.ts'
import type { Deps } from '../route.ts'
import {
  count,
  cursorOf,
  givenOrganization,
  givenUser,
  instant,
  nextCursor,
  paging,
  replica,
  total,
  unanswered,
} from './fields.ts'
import { replicaOf, replicasOf } from './replica.ts'

const KINDS = ['authenticated', 'invited', 'anonymous', 'administration', 'handshake'] as const

const connection = z
  .object({
    conn_id: z.string().describe('As in the log.'),
    kind: z.enum(KINDS).describe('`handshake`: it is not yet known who it is.'),
    organization_id: z.string().nullable(),
    user_id: z.string().nullable(),
    device_id: z.string().nullable(),
    api_version: z.string().nullable(),
    client_release: z.string().nullable().describe('As the client says; releases before 2.7 do not.'),
    address: z.string(),
    since: instant(),
    gateway: replica,
  })
  .meta({ id: 'Connection' })

const list = endpoint(
  {
    method: 'GET',
    path: '/v2/connections',
    operationId: 'listConnections',
    tag: 'Connections',
    summary: 'List open connections',
    description: 'WebSockets of all gateways, oldest first.',
    query: {
      ...paging,
      organization_id: givenOrganization().optional(),
      user_id: givenUser().optional(),
    },
    answer: z.object({
      connections: z.array(connection),
      next_cursor: nextCursor(),
      total: total(),
      kinds: z.object({
        authenticated: count(),
        invited: count(),
        anonymous: count(),
        administration: count(),
        handshake: count(),
      }),
      unanswered: unanswered(),
    }),
  },
  async ({ roll }, { query: { limit, cursor = null, organization_id = null, user_id = null } }) => {
    const page = { after: cursor, limit: limit + 1 }
    const gathered = await roll.ask('connections', { organization_id, user_id, ...page }, 'gateway')
    const found = gathered.answers
      .flatMap(({ card, reply }) => reply.connections.map(facts => ({ ...facts, gateway: replicaOf(card) })))
      .sort((a, b) => a.since.us - b.since.us || (a.conn_id < b.conn_id ? -1 : 1))
    const connections = found.slice(0, limit)
    const last = connections.at(-1)
    const sum = (pick: (reply: (typeof gathered.answers)[number]['reply']) => number) =>
      gathered.answers.reduce((sum, { reply }) => sum + pick(reply), 0)
    return {
      connections,
      next_cursor: found.length > limit && last ? cursorOf([last.since.us, last.conn_id]) : null,
      total: sum(reply => reply.total),
      kinds: {
        authenticated: sum(({ kinds }) => kinds.authenticated),
        invited: sum(({ kinds }) => kinds.invited),
        anonymous: sum(({ kinds }) => kinds.anonymous),
        administration: sum(({ kinds }) => kinds.administration),
        handshake: sum(({ kinds }) => kinds.handshake),
      },
      unanswered: replicasOf(gathered.unanswered),
    }
  },
)

const CONNECTION = {
  conn_id: {
    schema: z.string().regex(/^[0-9a-f]{32}$/),
    unknown: 'connection_not_found',
  },
}

const cut = endpoint(
  {
    method: 'DELETE',
    path: '/v2/connections/{conn_id}',
    operationId: 'cutConnection',
    tag: 'Connections',
    summary: 'Close a connection',
    description: 'Clients come back by themselves: to keep somebody out, freeze the user.',
    params: CONNECTION,
    answer: z.object({ conn_id: z.string() }),
    refusals: { 404: ['connection_not_found'] },
  },
  async ({ roll }, { params }) => {
    const { answers, unanswered } = await roll.ask('connection_cut', params, 'gateway')
    if (answers.some(({ reply }) => reply.found)) return params
    return unanswered.length === 0
      ? refuse(404, 'connection_not_found')
      : refuse(503, 'unavailable', 'Some gateways did not answer; the connection may be one of theirs.')
  },
)

/** How many connections these users of an organization and their devices have, over all gateways. */
export async function connectionsOf(
  { roll }: Pick<Deps, 'roll'>,
  organization_id: OrganizationID,
  people: readonly { user_id: UserID }[],
) {
  const user_ids = people.map(({ user_id }) => user_id)
  const gathered = await roll.ask('connection_counts', { organization_id, user_ids }, 'gateway')
  const connections = { users: new Map<string, number>(), devices: new Map<string, number>() }
  for (const { reply } of gathered.answers) {
    for (const [id, n] of reply.users) connections.users.set(id, (connections.users.get(id) ?? 0) + n)
    for (const [id, n] of reply.devices) connections.devices.set(id, (connections.devices.get(id) ?? 0) + n)
  }
  return { connections, unanswered: replicasOf(gathered.unanswered) }
}

export const connectionEndpoints: readonly Endpoint[] = [list, cut]
