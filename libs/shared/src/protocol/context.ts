/**
 * Who sent a command: made by the gateway at the handshake, sent with every command in the bus envelope.
 * `organization`, `user` and `device` are the database's keys, so that a handler needs no query to know its caller.
 */
import type { HumanHandle } from '../codec/fields.ts'
import type { Uuid } from '../codec/values.ts'
import type { DeviceID, InvitationType, OrganizationID, UserID, UserProfile } from './types.ts'
import type { ApiVersion, Release } from './versions.ts'

type Caller = {
  /** 32 hex digits; the same in the log lines of every service. */
  conn_id: string
  api_version: ApiVersion
  release: Release
}

export type AuthenticatedContext = Caller & {
  kind: 'authenticated'
  organization_id: OrganizationID
  organization: number
  /** Whether vlob writes are checked against the organization's sequester services; it never changes. */
  is_sequestered: boolean
  user_id: UserID
  user: number
  device_id: DeviceID
  device: number
  profile: UserProfile
  human_handle: HumanHandle | null
  verify_key: Buffer
}
export type InvitedContext = Caller & {
  kind: 'invited'
  organization_id: OrganizationID
  organization: number
  invitation_type: InvitationType
  token: Uuid
}
export type AnonymousContext = Caller & { kind: 'anonymous'; organization_id: OrganizationID }
export type AdministrationContext = Caller & { kind: 'administration' }

export type Context = AuthenticatedContext | InvitedContext | AnonymousContext | AdministrationContext
export type ContextOf<K extends Context['kind']> = Extract<Context, { kind: K }>
