/**
 * Events (spec 01 §10.5): how they travel on the bus, who receives them, and the commands that read them.
 *
 * A client event is told to subscribed connections; a control event tells gateways to act on their connections.
 */
import { bool, verbatimText, withDefault } from '../codec/fields.ts'
import type { DateTime, Uuid } from '../codec/values.ts'
import { limits } from '../limits.ts'
import { command, EVERY_AUTHENTICATED } from './command.ts'
import type { ArchivingConfiguration } from './realm.ts'
import type { DeviceID, InvitationStatus, RealmRole, UserID } from './types.ts'

/** What a client reads with `events_listen`. */
export type ClientEvent =
  | { event: 'pinged'; ping: string }
  | { event: 'message.received'; index: number }
  | { event: 'invite.status_changed'; token: Uuid; invitation_status: InvitationStatus }
  | { event: 'realm.roles_updated'; realm_id: Uuid; role: RealmRole | null }
  | { event: 'realm.vlobs_updated'; realm_id: Uuid; checkpoint: number; src_id: Uuid; src_version: number }
  | { event: 'realm.maintenance_started'; realm_id: Uuid; encryption_revision: number }
  | { event: 'realm.maintenance_finished'; realm_id: Uuid; encryption_revision: number }
  | { event: 'realm.archiving_updated'; realm_id: Uuid; configuration: ArchivingConfiguration }
  | { event: 'pki_enrollment.updated' }

/** Subscribed connections that receive a client event; `except` is the author's device where it is skipped. */
export type Recipients =
  | { to: 'organization'; except?: DeviceID }
  | { to: 'users'; user_ids: readonly UserID[] }
  | { to: 'realm'; realm_id: Uuid; except: DeviceID }

/** What gateways do at once, whatever their clients subscribed to (spec 01 §9). */
export type ControlEvent =
  | { control: 'user.revoked'; user_id: UserID }
  | { control: 'user.frozen'; user_id: UserID }
  | { control: 'organization.expired' }
  /** An event could not be told: whoever may have missed it must connect anew. */
  | { control: 'events.lost' }
  | { control: 'invitation.deleted'; token: Uuid }
  /** Somebody talked, or took what the other said (spec 04 §6.2); `attempt` is theirs. */
  | { control: 'invite.conduit_updated'; token: Uuid; attempt: Uuid }
  // What commands of API v1 wait for (spec 03 §9.1)
  | { control: 'user.created'; user_id: UserID; user_certificate: Buffer; device_certificate: Buffer }
  | { control: 'device.created'; device_id: DeviceID; device_certificate: Buffer; encrypted_answer: Buffer }
  | { control: 'enrollment.claimed'; invited: UserID | DeviceID; encrypted_claim: Buffer }
  | { control: 'enrollment.cancelled'; invited: UserID | DeviceID }

/**
 * As published. `id` is unique for ever: delivery is at least once, and receivers drop what they saw.
 * Role events carry the timestamp of their certificate: two replicas may publish in another order than they committed,
 * and only the newest certificate says whether the user is in the realm. `place`: events of a realm count 1, 2, 3… in the
 * order of their commits, and are told in it.
 */
export type BusEvent = { id: string; organization_id: string } & (
  | { recipients: Recipients; fields: ClientEvent; certified_on?: DateTime; place?: number }
  | { control: ControlEvent }
)

export const events = {
  ping: command<{ pong: string }>()({
    name: 'ping',
    callers: { v1: ['authenticated', 'anonymous', 'administration'], v2: ['authenticated', 'invited'] },
    request: { ping: verbatimText({ maxBytes: limits.ping.value }) },
    section: '01-wire §10.1',
  }),
  events_subscribe: command()({
    name: 'events_subscribe',
    callers: EVERY_AUTHENTICATED,
    service: 'gateway',
    request: {},
    section: '01-wire §10.3',
  }),
  events_listen: command<ClientEvent>()({
    name: 'events_listen',
    callers: EVERY_AUTHENTICATED,
    service: 'gateway',
    request: { wait: withDefault(bool(), true) },
    statuses: ['no_events'],
    cancellable: true,
    section: '01-wire §10.4',
  }),
}
