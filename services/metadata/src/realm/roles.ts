/** Who may change whose role in a realm, and from which instant on (spec 05 §3.2, §4). */
import type { DateTime } from '@parsec/shared/codec/values'
import type { RealmRole } from '@parsec/shared/protocol/types'

const manages = (role: RealmRole | null): boolean => role === 'OWNER' || role === 'MANAGER'

/** Only an owner touches owners and managers; a manager may change the other roles. */
export const mayChangeRole = (author: RealmRole | null, from: RealmRole | null, to: RealmRole | null): boolean =>
  author === 'OWNER' || (author === 'MANAGER' && !manages(from) && !manages(to))

export type RoleHistory = {
  role: RealmRole | null
  certified_on: DateTime | null
  last_role_change: DateTime | null
  last_vlob_update: DateTime | null
  last_archiving_change: DateTime | null
}

/** What a role certificate must be later than but is not (rules C6, C3, C4, C5 in that order), or undefined. */
export function roleCausality(target: RoleHistory, to: RealmRole | null, timestamp: DateTime): DateTime | undefined {
  const mustFollow = [
    target.role === 'OWNER' && target.last_archiving_change,
    target.certified_on,
    (to === 'READER' || to === null) && target.last_vlob_update,
    !manages(to) && target.last_role_change,
  ]
  return mustFollow.find((earlier): earlier is DateTime => !!earlier && !timestamp.isAfter(earlier))
}
