/**
 * What each replica of a service answers for itself: nobody else knows it. Whoever wants to know it all asks all of them.
 */
import type { DateTime } from '../codec/values.ts'
import type { ServiceName } from './command.ts'
import type { ClientKind, DeviceID, OrganizationID, UserID } from './types.ts'

/** What a replica says of itself on the bus, every so often and when somebody calls the roll. */
export type ReplicaCard = {
  service: ServiceName
  /** 16 hex digits, from its start to its end. */
  replica: string
  host: string
  version: string
  started_on: DateTime
}

export type ConnectionKind = ClientKind | 'handshake'
export type ConnectionFacts = {
  conn_id: string
  kind: ConnectionKind
  organization_id: OrganizationID | null
  user_id: UserID | null
  device_id: DeviceID | null
  api_version: string | null
  /** As its user agent tells. */
  client_release: string | null
  address: string
  since: DateTime
}
export type ConnectionKinds = { [K in ConnectionKind]: number }

export type NodeFacts = {
  name: string
  state: 'ok' | 'failing' | 'away'
  failing_since: DateTime | null
  operations: number
  failures: number
  missing: number
  corrupt: number
}

/** What the clients of a gateway did in one minute. */
export type ActivityMinute = {
  /** Of the beginning of the minute, in minutes since 1970. */
  minute: number
  requests: number
  errors: number
  /** At its end. */
  connections: number
  /** How many requests took how long, as `ACTIVITY_BOUNDS` divides it. */
  durations: number[]
}
/** Upper bounds in milliseconds; what takes longer is in a last class. */
export const ACTIVITY_BOUNDS = [1, 2, 4, 8, 16, 32, 64, 125, 250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000] as const

export type LogWarning = {
  at: DateTime
  level: 'warning' | 'error' | 'critical'
  event: string
  /** Whose log it is, where one service alone wrote it. */
  service?: string
  /** As JSON. */
  keys: string
}

export type ReplicaRequests = {
  state: { request: Record<never, never>; reply: { is_ready: boolean; detail: { readonly [name: string]: string } } }
  warnings: { request: Record<never, never>; reply: { warnings: LogWarning[] } }

  // gateway
  /** Those behind `after`, oldest first, one more than `limit` when there are more. `total` and `kinds`: of all pages. */
  connections: {
    request: {
      organization_id: OrganizationID | null
      user_id: UserID | null
      after: [since: number, conn_id: string] | null
      limit: number
    }
    reply: { connections: ConnectionFacts[]; total: number; kinds: ConnectionKinds }
  }
  /** Of these users and their devices; those without any are left out. */
  connection_counts: {
    request: { organization_id: OrganizationID; user_ids: UserID[] }
    reply: { users: [UserID, number][]; devices: [DeviceID, number][] }
  }
  connection_cut: { request: { conn_id: string }; reply: { found: boolean } }
  /** `users`: how many are connected at least once. */
  connected: { request: Record<never, never>; reply: { connections: number; users: number } }
  activity: { request: Record<never, never>; reply: { minutes: ActivityMinute[] } }

  // blockstore
  nodes: { request: Record<never, never>; reply: { nodes: NodeFacts[]; is_readable: boolean } }
}
export type ReplicaRequestName = keyof ReplicaRequests
export type ReplicaRequest<N extends ReplicaRequestName> = ReplicaRequests[N]['request']
export type ReplicaReply<N extends ReplicaRequestName> = ReplicaRequests[N]['reply']
/** What a replica answers; it does so at once, from its memory. */
export type ReplicaAnswers = {
  readonly [N in ReplicaRequestName]?: (request: ReplicaRequest<N>) => ReplicaReply<N>
}
