/** Who had access to which realm, and when (spec 06 §6.4). */
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { OperatorError } from '@parsec/shared/errors'
import type { Database } from '@parsec/shared/postgres/database'
import { sql } from '@parsec/shared/postgres/sql'
import type { OrganizationID, RealmRole, UserID, UserProfile } from '@parsec/shared/protocol/types'

/** Role null: access removed. */
export type RoleChange = { role: RealmRole | null; certified_on: DateTime }
export type UserAccesses = {
  user_id: UserID
  profile: UserProfile
  created_on: DateTime
  revoked_on: DateTime | null
  email: string | null
  label: string | null
  /** In the order of the first access; changes oldest first. */
  realms: { realm_id: Uuid; changes: RoleChange[] }[]
}

/**
 * The users whose lower-cased handle and id have every word of `filter` (normalized, not lower-cased), in the order of
 * their creation. Throws `OperatorError` for an unknown organization.
 */
export async function humanAccesses(db: Database, id: OrganizationID, filter: string): Promise<UserAccesses[]> {
  const found = await db.one<{ organization: number }>(
    sql`SELECT _id AS organization FROM organization WHERE organization_id = ${id}`,
  )
  if (!found) throw new OperatorError(`Organization ${id} does not exist`)
  type User = Omit<UserAccesses, 'realms'> & { user: number }
  const users = await db.all<User>(sql`
    SELECT user_._id AS user, user_.user_id, user_.profile, user_.created_on, user_.revoked_on, human.email, human.label
    FROM user_ LEFT JOIN human ON human._id = user_.human
    WHERE user_.organization = ${found.organization} ORDER BY user_._id`)
  const changes = await db.all<RoleChange & { user: number; realm_id: Uuid }>(sql`
    SELECT realm_role.user_ AS user, realm.realm_id, realm_role.role, realm_role.certified_on
    FROM realm_role JOIN realm ON realm._id = realm_role.realm
    WHERE realm.organization = ${found.organization} ORDER BY realm_role.certified_on, realm_role._id`)
  const changesOf = Map.groupBy(changes, change => change.user)
  const words = filter
    .normalize()
    .split(/\s+/)
    .filter(word => word !== '')
  return users
    .filter(user => words.every(word => searchText(user).includes(word)))
    .map(({ user, ...fields }) => {
      const realms = Map.groupBy(changesOf.get(user) ?? [], change => change.realm_id.hex)
      return {
        ...fields,
        realms: [...realms.values()].map(list => ({
          realm_id: list[0]!.realm_id,
          changes: list.map(({ role, certified_on }) => ({ role, certified_on })),
        })),
      }
    })
}

const searchText = ({ label, email, user_id }: Pick<UserAccesses, 'label' | 'email' | 'user_id'>): string =>
  `${email === null ? '' : `${label} <${email}> `}${user_id}`.toLowerCase()
