/** What administrators ask this gateway: who is connected to it, and what they did. */
import type { Bag } from '@parsec/shared/bag'
import { limits } from '@parsec/shared/limits'
import type { ConnectionKinds, ReplicaAnswers, ReplicaReply, ReplicaRequest } from '@parsec/shared/protocol/replica'
import type { Activity } from './activity.ts'
import type { EventHub } from './events/hub.ts'
import type { Connection } from './websocket/connection.ts'

type Known = { connections: Bag<Connection>; hub: EventHub; activity: Activity }

export const gatewayAnswers = ({ connections, hub, activity }: Known): ReplicaAnswers => ({
  connections: request => page(connections, request),
  connection_counts: request => countsOf(hub, request),
  connection_cut: ({ conn_id }) => {
    for (const connection of connections.all())
      if (connection.conn_id === conn_id && !connection.hasEnded) {
        connection.end('closed by an administrator')
        return { found: true }
      }
    return { found: false }
  },
  connected: () => ({ connections: connections.size, users: hub.connectedUsers }),
  activity: () => ({ minutes: activity.minutes() }),
})

/** A page in the order of `byBeginning`, and figures of all. */
function page(
  connections: Bag<Connection>,
  { organization_id, user_id, after, limit }: ReplicaRequest<'connections'>,
): ReplicaReply<'connections'> {
  const kinds: ConnectionKinds = { authenticated: 0, invited: 0, anonymous: 0, administration: 0, handshake: 0 }
  const most = Math.min(limit, limits.administration_page.value + 1)
  const chosen: Connection[] = []
  /** Once there are enough: what is behind it is on a later page. */
  let last: Connection | undefined
  let total = 0
  for (const connection of connections.all()) {
    if (!connection.isOf(organization_id, user_id)) continue
    total++
    kinds[connection.kind]++
    const isBehind =
      after === null || connection.since > after[0] || (connection.since === after[0] && connection.conn_id > after[1])
    if (!isBehind || (last && byBeginning(last, connection) < 0)) continue
    if (chosen.push(connection) < 2 * most) continue
    chosen.sort(byBeginning).length = most
    last = chosen.at(-1)
  }
  chosen.sort(byBeginning)
  return { connections: chosen.slice(0, most).map(connection => connection.facts), total, kinds }
}
/** Of those that began in one microsecond the id decides. */
const byBeginning = (a: Connection, b: Connection): number => a.since - b.since || (a.conn_id < b.conn_id ? -1 : 1)

function countsOf(
  hub: EventHub,
  { organization_id, user_ids }: ReplicaRequest<'connection_counts'>,
): ReplicaReply<'connection_counts'> {
  const organization = hub.organization(organization_id)
  const users: [string, number][] = []
  const devices = new Map<string, number>()
  for (const user_id of user_ids) {
    const sessions = organization?.users.get(user_id)?.sessions.filter(({ isKnown }) => isKnown) ?? []
    if (sessions.length > 0) users.push([user_id, sessions.length])
    for (const { device_id } of sessions) devices.set(device_id, (devices.get(device_id) ?? 0) + 1)
  }
  return { users, devices: [...devices] }
}
