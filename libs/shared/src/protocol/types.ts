/** Names that every layer uses for the protocol's values (spec 01 §3). */

export type OrganizationID = string
export type UserID = string
/** `user_id@device_name` */
export type DeviceID = string

export const USER_PROFILES = ['ADMIN', 'STANDARD', 'OUTSIDER'] as const
export type UserProfile = (typeof USER_PROFILES)[number]

export const REALM_ROLES = ['OWNER', 'MANAGER', 'CONTRIBUTOR', 'READER'] as const
export type RealmRole = (typeof REALM_ROLES)[number]

export const MAINTENANCE_TYPES = ['GARBAGE_COLLECTION', 'REENCRYPTION'] as const
export type MaintenanceType = (typeof MAINTENANCE_TYPES)[number]

export const INVITATION_TYPES = ['USER', 'DEVICE', 'SHAMIR_RECOVERY'] as const
export type InvitationType = (typeof INVITATION_TYPES)[number]

export type InvitationStatus = 'IDLE' | 'READY' | 'DELETED'

export const INVITATION_DELETED_REASONS = ['FINISHED', 'CANCELLED', 'ROTTEN'] as const
export type InvitationDeletedReason = (typeof INVITATION_DELETED_REASONS)[number]

export const INVITATION_EMAIL_SENT_STATUSES = ['SUCCESS', 'NOT_AVAILABLE', 'BAD_RECIPIENT'] as const

/** How a client presented itself; decides which commands it may call (spec 01 §12). */
export type ClientKind = 'authenticated' | 'invited' | 'anonymous' | 'administration'

/** The user part of a device id. */
export const userOf = (device_id: DeviceID): UserID => device_id.slice(0, device_id.indexOf('@'))
