/**
 * Requests between services. They never come from clients: the bus is trusted (DESIGN §9), so types suffice.
 * Values survive the codec as they are; `undefined` fields are left out.
 */
import type { HumanHandle } from '../codec/fields.ts'
import type { DateTime, Uuid } from '../codec/values.ts'
import { DELETION_DEADLINE_MS, MAIL_DEADLINE_MS, METADATA_DEADLINE_MS, SERVER_STATS_DEADLINE_MS } from '../deadlines.ts'
import type {
  AdministeredDevice,
  AdministeredOrganization,
  AdministeredPerson,
  ORGANIZATION_STATES,
  OrganizationSort,
  Paged,
  PageOf,
  RealmSort,
  RealmUsage,
  ServerFigures,
  USER_STATES,
  UserSort,
  UserUsage,
  UserUsageSort,
} from './administration.ts'
import type { Lane, ServiceName } from './command.ts'
import type { AuthenticatedContext } from './context.ts'
import type { ConduitSide, ConduitState } from './invite.ts'
import type { Memberships } from './memberships.ts'
import type { OrganizationStats } from './organization.ts'
import type { DeviceID, InvitationType, OrganizationID, UserID, UserProfile } from './types.ts'

/** What a handshake or an HTTP request must know about an organization. */
export type OrganizationFacts = {
  organization: number
  is_bootstrapped: boolean
  root_verify_key: Buffer | null
  is_expired: boolean
  /** Settled by the bootstrap, for good. */
  is_sequestered: boolean
}
/** … and about a device and its user. */
export type DeviceFacts = {
  user: number
  device: number
  user_id: UserID
  device_id: DeviceID
  profile: UserProfile
  human_handle: HumanHandle | null
  verify_key: Buffer
  /** Timestamp of the revocation; it may be slightly ahead of the server's clock. */
  revoked_on: DateTime | null
  is_frozen: boolean
}
export type InvitationFacts = { type: InvitationType; is_deleted: boolean }

/** An organization as administrators see it (spec 02 §7.3). */
export type OrganizationStatus = {
  is_bootstrapped: boolean
  is_expired: boolean
  user_profile_outsider_allowed: boolean
  active_users_limit: number | null
  minimum_archiving_period: number
}
export type OrganizationSettings = {
  /** Absent fields take the server's default when creating, and stay as they are when updating. */
  user_profile_outsider_allowed?: boolean
  active_users_limit?: number | null
  minimum_archiving_period?: number
}
export type AdministeredUser = { user_id: UserID; user_email: string; user_name: string; frozen: boolean }
export type ServerStatsItem = { organization_id: OrganizationID } & Omit<OrganizationStats, 'users'>

/** What a deletion would take away, and the code with which it is meant. */
export type Doomed = { users: number; realms: number; data_size: number; code: string; is_begun: boolean }
/** `going_on`, `rows_gone`: the same is to be asked again; after `rows_gone` once the objects are gone. */
export type DeletionStep = 'going_on' | 'rows_gone' | 'deleted' | 'bad_code' | 'not_found'

/** Which conduit, and what a side does there. `greeter` null: that of the only greeter. */
export type ConduitParty = {
  organization_id: OrganizationID
  organization: number
  token: Uuid
  side: ConduitSide
  greeter: UserID | null
  state: ConduitState
  /** Names this exchange of this side. */
  attempt: Uuid
}
export type SeenDevice = { device: number; secondsAgo: number }
/** A connection of an invited client. */
export type ClaimerConnection = { organization_id: OrganizationID; organization: number; token: Uuid; conn_id: string }

type Requests = {
  // metadata, for the gateway
  /** `organization` null: unknown; `device` null: no such device. */
  session_open: {
    request: { organization_id: OrganizationID; device_id: DeviceID }
    reply: { organization: OrganizationFacts | null; device: DeviceFacts | null }
  }
  /** `invitation` null: no such token in the organization. */
  session_open_invited: {
    request: { organization_id: OrganizationID; token: Uuid }
    reply: { organization: OrganizationFacts | null; invitation: InvitationFacts | null }
  }
  /** With `create`, an unknown organization is created where spontaneous bootstrap is enabled (spec 02 §3.1.4). */
  organization_find: {
    request: { organization_id: OrganizationID; create: boolean }
    reply: { organization: OrganizationFacts | null; spontaneous: boolean }
  }
  /** Re-tells every gateway that the organization has expired (spec 01 §7.4). */
  organization_expired: { request: { organization_id: OrganizationID }; reply: Record<never, never> }
  /** The realms in which the user has a role now, and how far their events and the user's messages have come. */
  realm_memberships: {
    request: { organization: number; user: number; packed?: boolean }
    reply: Memberships & { message_count: number }
  }

  /** Stores an API v1 invitation of a user or device; a later one replaces it (spec 03 §6.3). */
  legacy_invite: {
    request: { context: AuthenticatedContext; invited: UserID | DeviceID }
    reply: { status: 'ok' | 'already_exists' }
  }
  /** Tells whoever invited what the claimer sends (spec 03 §6.5). */
  legacy_claim: {
    request: { organization_id: OrganizationID; invited: UserID | DeviceID; encrypted_claim: Buffer }
    reply: { status: 'ok' | 'not_found' }
  }

  /** Sends a payload; `peer` is what the other side had already sent (spec 04 §6.2). */
  conduit_talk: {
    request: ConduitParty & { payload: Buffer }
    reply:
      | { status: 'ok'; peer: { attempt: Uuid; payload: Buffer } | null }
      | { status: 'not_found' | 'already_deleted' | 'invalid_state' }
  }
  /** What has become of an attempt that met `peer`. `taken`: the other side has it, and its payload is the result. */
  conduit_listen: {
    request: ConduitParty & { peer: Uuid | null }
    reply:
      | { status: 'ok'; payload: Buffer }
      | { status: 'taken' | 'waiting' | 'not_found' | 'already_deleted' | 'invalid_state' }
  }
  /** The claimer is there, for a while: the gateway repeats it (spec 04 §5). */
  claimer_present: { request: ClaimerConnection; reply: { is_deleted: boolean } }
  claimer_gone: { request: ClaimerConnection; reply: Record<never, never> }
  /** Devices that came or went, and how long ago that was. */
  devices_seen: { request: { seen: SeenDevice[] }; reply: Record<never, never> }

  // metadata, for the block store
  /**
   * The checks of `block_create` before the upload (spec 05 §10.1, lines 1–5). With an `upload`, `ok` reserves the block
   * for it, or keeps it reserved, for `UPLOAD_LEASE_MS`; `busy`: another upload has it.
   */
  block_check: {
    request: { context: AuthenticatedContext; block_id: Uuid; realm_id: Uuid; upload: Uuid | null }
    reply: { status: 'ok' | 'busy' | BlockRefusal }
  }
  /** The same checks again, and the row that makes the block exist; `busy`: another upload has taken over. */
  block_commit: {
    request: {
      context: AuthenticatedContext
      block_id: Uuid
      realm_id: Uuid
      upload: Uuid | null
      size: number
      missed_nodes: readonly number[]
    }
    reply: { status: 'ok' | 'busy' | BlockRefusal }
  }
  /** The upload has failed: another one may begin at once. */
  block_abandon: { request: { upload: Uuid }; reply: Record<never, never> }
  /** The nodes of the block store; those of `proposal` are registered when there are none. */
  block_nodes: {
    request: { proposal: BlockstoreNode[] }
    reply: { nodes: BlockstoreNode[]; samples: SampleBlock[] }
  }
  block_node_marked: { request: { index: number; node_id: Uuid }; reply: Record<never, never> }
  /** Whether the objects of an organization may be removed: its deletion has begun. */
  block_removal: { request: { organization_id: OrganizationID }; reply: { is_allowed: boolean } }
  block_access: {
    request: { context: AuthenticatedContext; block_id: Uuid }
    reply:
      | { status: 'ok'; size: number; missed_nodes: readonly number[] }
      | { status: 'not_found' | 'realm_deleted' | 'in_maintenance' | 'not_allowed' }
  }

  // metadata, for the administration API
  administration_create: {
    request: { organization_id: OrganizationID } & OrganizationSettings
    reply: ({ status: 'ok' } & Bootstrap) | { status: 'already_exists' }
  }
  administration_status: {
    request: { organization_id: OrganizationID }
    reply: ({ status: 'ok' } & OrganizationStatus) | { status: 'not_found' }
  }
  administration_update: {
    request: {
      organization_id: OrganizationID
      is_expired?: boolean
      expiration_date?: DateTime | null
    } & OrganizationSettings
    reply: { status: 'ok' | 'not_found' }
  }
  administration_stats: {
    request: { organization_id: OrganizationID }
    reply: ({ status: 'ok' } & OrganizationStats) | { status: 'not_found' }
  }
  administration_server_stats: { request: { at: DateTime | null }; reply: { stats: ServerStatsItem[] } }
  administration_users: {
    request: { organization_id: OrganizationID }
    reply: { status: 'ok'; users: AdministeredUser[] } | { status: 'not_found' }
  }
  administration_freeze: {
    request: { organization_id: OrganizationID; user_id?: UserID; user_email?: string; frozen: boolean }
    reply: ({ status: 'ok' } & AdministeredUser) | { status: 'not_found' | 'user_not_found' }
  }
  admin_organizations: {
    request: PageOf<OrganizationSort> & {
      /** Part of the id; null: any. */
      search: string | null
      state: (typeof ORGANIZATION_STATES)[number] | null
    }
    reply: Paged & { organizations: AdministeredOrganization[] }
  }
  admin_organization: {
    request: { organization_id: OrganizationID }
    reply: { status: 'ok'; organization: AdministeredOrganization } | { status: 'not_found' }
  }
  admin_bootstrap: {
    request: { organization_id: OrganizationID }
    reply: ({ status: 'ok' } & Bootstrap) | { status: 'not_found' | 'already_bootstrapped' }
  }
  admin_users: {
    request: PageOf<UserSort> & {
      organization_id: OrganizationID
      /** Part of user id, e-mail or name; null: any. */
      search: string | null
      state: (typeof USER_STATES)[number] | null
    }
    reply: ({ status: 'ok'; users: AdministeredPerson[] } & Paged) | { status: 'not_found' }
  }
  admin_user: {
    request: { organization_id: OrganizationID; user_id: UserID }
    reply: { status: 'ok'; user: AdministeredPerson } | { status: 'not_found' | 'user_not_found' }
  }
  admin_freeze: {
    request: { organization_id: OrganizationID; user_id: UserID; is_frozen: boolean }
    reply: { status: 'ok' | 'not_found' | 'user_not_found' | 'user_revoked' }
  }
  admin_devices: {
    request: PageOf<'created_on'> & { organization_id: OrganizationID; user_id: UserID }
    reply: ({ status: 'ok'; devices: AdministeredDevice[] } & Paged) | { status: 'not_found' | 'user_not_found' }
  }
  admin_realm_usage: {
    request: PageOf<RealmSort> & { organization_id: OrganizationID }
    reply: ({ status: 'ok'; realms: RealmUsage[] } & Paged) | { status: 'not_found' }
  }
  admin_user_usage: {
    request: PageOf<UserUsageSort> & { organization_id: OrganizationID }
    reply: ({ status: 'ok'; users: UserUsage[] } & Paged) | { status: 'not_found' }
  }
  admin_figures: {
    request: Record<never, never>
    reply: ServerFigures & { bootstrapped: number; expired: number }
  }
  admin_history: {
    request: { days: number }
    reply: { samples: ({ at: DateTime } & ServerFigures)[] }
  }
  admin_mail_test: {
    request: { to: string }
    reply: { status: 'ok' | 'mail_not_configured' } | { status: 'mail_failed'; reason: string }
  }
  /** What a deletion would take away. */
  administration_doomed: {
    request: { organization_id: OrganizationID }
    reply: ({ status: 'ok' } & Doomed) | { status: 'not_found' }
  }
  administration_delete: {
    request: { organization_id: OrganizationID; code: string; objectsAreGone: boolean }
    reply: { status: DeletionStep }
  }

  // the block store, for the administration API
  /** Removes objects of an organization whose deletion has begun, as many as it can in time. */
  objects_remove: { request: { organization_id: OrganizationID }; reply: { are_gone: boolean } }
}

/** What somebody needs to bootstrap an organization: a secret. */
export type Bootstrap = { bootstrap_token: string; bootstrap_link: string }

/** A storage as a node of the block store. `kind`: `single`, RAID0, RAID1 or RAID5; `nodes`: how many the array has. */
export type BlockstoreNode = {
  index: number
  array_id: Uuid
  kind: string
  nodes: number
  node_id: Uuid
  /** Whether its marker has been written. */
  is_marked: boolean
}
/** A block that every node should have, or its piece of it. */
export type SampleBlock = { organization_id: OrganizationID; block_id: Uuid }

/** Why a block may not be created (spec 05 §10.1). */
export type BlockRefusal =
  | 'not_found'
  | 'realm_deleted'
  | 'realm_archived'
  | 'in_maintenance'
  | 'not_allowed'
  | 'already_exists'

export type InternalName = keyof Requests
export type InternalRequest<N extends InternalName> = Requests[N]['request']
export type InternalReply<N extends InternalName> = Requests[N]['reply']

/** Who answers each and who may ask, in which lane, and how many milliseconds whoever asks waits. */
export type InternalSpec = {
  readonly service: ServiceName
  readonly from: readonly ServiceName[]
  readonly lane: Lane
  readonly deadlineMs: number
}

const asked = (from: ServiceName, lane: Lane = 'light', deadlineMs = METADATA_DEADLINE_MS): InternalSpec => ({
  service: 'metadata',
  from: [from],
  lane,
  deadlineMs,
})

export const internalRequests: { readonly [N in InternalName]: InternalSpec } = {
  session_open: asked('gateway'),
  session_open_invited: asked('gateway'),
  organization_find: asked('gateway'),
  organization_expired: asked('gateway'),
  realm_memberships: asked('gateway'),
  legacy_invite: asked('gateway'),
  legacy_claim: asked('gateway'),
  conduit_talk: asked('gateway'),
  conduit_listen: asked('gateway'),
  claimer_present: asked('gateway'),
  claimer_gone: asked('gateway'),
  devices_seen: asked('gateway'),
  block_check: asked('blockstore'),
  block_commit: asked('blockstore'),
  block_abandon: asked('blockstore'),
  block_access: asked('blockstore'),
  block_removal: asked('blockstore'),
  block_nodes: asked('blockstore'),
  block_node_marked: asked('blockstore'),
  administration_create: asked('admin'),
  administration_status: asked('admin'),
  administration_update: asked('admin'),
  administration_stats: asked('admin', 'heavy'),
  administration_server_stats: asked('admin', 'heavy', SERVER_STATS_DEADLINE_MS),
  administration_users: asked('admin', 'heavy'),
  administration_freeze: asked('admin'),
  admin_organizations: asked('admin', 'heavy', SERVER_STATS_DEADLINE_MS),
  admin_organization: asked('admin'),
  admin_bootstrap: asked('admin'),
  admin_users: asked('admin', 'heavy'),
  admin_user: asked('admin'),
  admin_freeze: asked('admin'),
  admin_devices: asked('admin'),
  admin_realm_usage: asked('admin', 'heavy'),
  admin_user_usage: asked('admin', 'heavy'),
  admin_figures: asked('admin', 'heavy', SERVER_STATS_DEADLINE_MS),
  admin_history: asked('admin', 'heavy', SERVER_STATS_DEADLINE_MS),
  admin_mail_test: asked('admin', 'light', MAIL_DEADLINE_MS),
  administration_doomed: asked('admin', 'heavy'),
  administration_delete: asked('admin', 'heavy', DELETION_DEADLINE_MS),
  objects_remove: { service: 'blockstore', from: ['admin'], lane: 'heavy', deadlineMs: DELETION_DEADLINE_MS },
}
