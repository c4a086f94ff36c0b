/** What administrators see of a server, as services tell it to the administration service. Values are those of the wire. */
import type { DateTime, Uuid } from '../codec/values.ts'
import type { OrganizationStats } from './organization.ts'
import type { OrganizationID, UserID, UserProfile } from './types.ts'

/** A page of a sorted list: what comes behind the last item of the page before, by its key and then its name. */
export type PageOf<Sort extends string> = {
  sort: Sort
  descending: boolean
  after: PageEnd | null
  limit: number
}
export type PageEnd = [key: number, name: string]
/** `next` null: nothing comes behind. `total`: of all pages. */
export type Paged = { next: PageEnd | null; total: number }

export const ORGANIZATION_STATES = ['bootstrapped', 'waiting', 'expired'] as const
export const ORGANIZATION_SORTS = [
  'organization_id',
  'created_on',
  'active_users',
  'data_size',
  'metadata_size',
] as const
export type OrganizationSort = (typeof ORGANIZATION_SORTS)[number]
export type AdministeredOrganization = {
  organization_id: OrganizationID
  created_on: DateTime
  is_bootstrapped: boolean
  bootstrapped_on: DateTime | null
  is_expired: boolean
  /** When it expires, or did by itself. */
  expiration_date: DateTime | null
  expired_on: DateTime | null
  is_sequestered: boolean
  user_profile_outsider_allowed: boolean
  active_users_limit: number | null
  minimum_archiving_period: number
} & OrganizationStats

export const USER_STATES = ['active', 'revoked', 'frozen'] as const
export const USER_SORTS = ['created_on', 'user_id', 'last_seen_on'] as const
export type UserSort = (typeof USER_SORTS)[number]
export type AdministeredPerson = {
  user_id: UserID
  email: string | null
  name: string | null
  profile: UserProfile
  created_on: DateTime
  revoked_on: DateTime | null
  is_frozen: boolean
  last_seen_on: DateTime | null
  devices: number
}
export type AdministeredDevice = {
  device_id: string
  label: string | null
  created_on: DateTime
  last_seen_on: DateTime | null
}

export const REALM_SORTS = ['size', 'created_on'] as const
export type RealmSort = (typeof REALM_SORTS)[number]
export type RealmUsage = {
  realm_id: Uuid
  created_on: DateTime
  /** The first few. */
  owners: UserID[]
  members: number
  data_size: number
  metadata_size: number
  encryption_revision: number
  archiving: 'AVAILABLE' | 'ARCHIVED' | 'DELETION_PLANNED'
  deletion_date: DateTime | null
  maintenance: 'GARBAGE_COLLECTION' | 'REENCRYPTION' | null
}
export const USER_USAGE_SORTS = ['size', 'user_id'] as const
export type UserUsageSort = (typeof USER_USAGE_SORTS)[number]
/** Sizes of the realms that a user owns; one with several owners counts for each. */
export type UserUsage = {
  user_id: UserID
  email: string | null
  name: string | null
  realms: number
  owned_realms: number
  data_size: number
  metadata_size: number
}

/** What all organizations have together. */
export type ServerFigures = {
  organizations: number
  users: number
  active_users: number
  realms: number
  data_size: number
  metadata_size: number
}
