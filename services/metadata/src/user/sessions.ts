/** Who connects is looked up together with others that connect, see `storage/gather.ts`. */
import type { Budget } from '@parsec/shared/budget'
import { SESSIONS_EVERY_MS } from '@parsec/shared/deadlines'
import type { Database } from '@parsec/shared/postgres/database'
import { fragment, type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { DeviceFacts, OrganizationFacts } from '@parsec/shared/protocol/internal'
import type { DeviceID, OrganizationID } from '@parsec/shared/protocol/types'
import { EXPIRATION, type Expiration } from '../organization/expiration.ts'
import { Gathering, inOrder } from '../storage/gather.ts'

export type OrganizationRow = Omit<OrganizationFacts, 'is_expired'> & Expiration
export const ORGANIZATION = fragment`organization._id AS organization, organization.root_verify_key IS NOT NULL AS is_bootstrapped,
  organization.root_verify_key, organization.sequester_authority_certificate IS NOT NULL AS is_sequestered, ${EXPIRATION}`

/** `device` null: the organization has none of that id. */
type Session = OrganizationRow & DeviceFacts & { device: number | null; email: string | null; label: string | null }
type SessionKey = { organization_id: OrganizationID; device_id: DeviceID }

const MAX_ITEMS = 64
/** Who comes alone costs half as much by a statement of its own. */
const FEW = 2

export class Sessions {
  readonly #gathering: Gathering<SessionKey, Session | undefined>

  constructor(db: Database) {
    this.#gathering = new Gathering<SessionKey, Session | undefined>({
      alone: (key, budget) => findSession(db.within(budget), key),
      few: FEW,
      together: async (keys, budget) => inOrder(keys, await findSessions(db.within(budget), keys)),
      maxItems: MAX_ITEMS,
      maxBytes: Infinity,
      lanes: 1,
      spareLanes: 1,
      everyMs: SESSIONS_EVERY_MS,
    })
  }

  /** Undefined when there is no such organization. */
  find({ budget }: { budget: Budget }, key: SessionKey): Promise<Session | undefined> {
    return this.#gathering.add(key, { organization: key.organization_id, budget })
  }
}

const SESSION = fragment`${ORGANIZATION}, user_._id AS user, user_.user_id, user_.profile, user_.revoked_on,
  user_.frozen AS is_frozen, device._id AS device, device.device_id, device.verify_key, human.email, human.label`

const findSession = (db: Queryable, { organization_id, device_id }: SessionKey) =>
  db.one<Session>(sql`
    SELECT ${SESSION}
    FROM organization
    LEFT JOIN device ON device.organization = organization._id AND device.device_id = ${device_id}
    LEFT JOIN user_ ON user_._id = device.user_
    LEFT JOIN human ON human._id = user_.human
    WHERE organization.organization_id = ${organization_id}`)

/** `n`: which of the keys it is for, from 1. `OFFSET 0` and `(SELECT …)`: one plan, by key, for any number of them. */
const findSessions = (db: Queryable, keys: readonly SessionKey[]) =>
  db.all<Session & { n: number }>(sql`
    SELECT q.n, ${SESSION}
    FROM unnest((SELECT ${keys.map(key => key.organization_id)}::text[]), (SELECT ${keys.map(key => key.device_id)}::text[]))
      WITH ORDINALITY AS q (organization_id, device_id, n)
    CROSS JOIN LATERAL (
      SELECT * FROM organization WHERE organization.organization_id = q.organization_id OFFSET 0
    ) organization
    LEFT JOIN LATERAL (
      SELECT * FROM device WHERE device.organization = organization._id AND device.device_id = q.device_id OFFSET 0
    ) device ON TRUE
    LEFT JOIN LATERAL (SELECT * FROM user_ WHERE user_._id = device.user_ OFFSET 0) user_ ON TRUE
    LEFT JOIN LATERAL (SELECT * FROM human WHERE human._id = user_.human OFFSET 0) human ON TRUE`)
