/** Whether an organization has expired: marked as such (REST API), or its date has come (API v1). */
import type { DateTime } from '@parsec/shared/codec/values'
import { fragment } from '@parsec/shared/postgres/sql'

export type Expiration = { is_marked_expired: boolean; expiration_date: DateTime | null }

/** Columns of `organization`. */
export const EXPIRATION = fragment`organization.is_expired AS is_marked_expired, organization.expiration_date`

export const isExpired = ({ is_marked_expired, expiration_date }: Expiration, now: DateTime): boolean =>
  is_marked_expired || (expiration_date !== null && !expiration_date.isAfter(now))
