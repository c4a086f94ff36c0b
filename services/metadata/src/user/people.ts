/** Adding users and devices (spec 03 §4.2, §4.3): what bootstrap, both eras of the protocol and enrollments share. */
import type { DateTime } from '@parsec/shared/codec/values'
import { Unavailable } from '@parsec/shared/errors'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { AuthenticatedContext } from '@parsec/shared/protocol/context'
import type { Deps } from '../context.ts'
import { lockPeople } from '../organization/lock.ts'
import { countUser } from '../organization/tally.ts'
import { type Tx, transaction } from '../storage/transaction.ts'
import type { NewDevice, NewUser } from './certificates.ts'

type Author = Deps & { context: AuthenticatedContext }

/** Lines 4 to 7 of `user_create` (spec 03 §4.2). */
export const createUser = (ctx: Author, newUser: NewUser) =>
  transaction(ctx, ctx.context.organization_id, async tx => {
    void lockPeople(tx, ctx.context.organization)
    const [refusal] = await Promise.all([addUser(tx, ctx, newUser), refuseRevokedAuthor(tx, ctx.context)])
    return refusal ?? { status: 'ok' as const }
  })

/** Adds a user, in a transaction that holds the people's lock, or says why not. */
export async function addUser(tx: Tx, ctx: Author, newUser: NewUser) {
  const { organization, device } = ctx.context
  const facts = await enrollment(tx, organization, newUser, ctx.now())
  if (facts.active_users_limit !== null && facts.active_users >= facts.active_users_limit)
    return { status: 'active_users_limit_reached' as const }
  if (facts.exists)
    return { status: 'already_exists' as const, reason: `User \`${newUser.user.user_id}\` already exists` }
  if (facts.is_enrolled) {
    const [email, label] = newUser.user.human_handle!
    return {
      status: 'already_exists' as const,
      reason: `Human handle \`${label} <${email}>\` already corresponds to a non-revoked user`,
    }
  }
  void insertUser(tx, { organization, human: facts.human, certifier: device, newUser })
  tellUserCreated(tx, newUser)
  return undefined
}

export const tellUserCreated = (tx: Tx, { user, user_certificate, device_certificate }: NewUser) =>
  tx.control({ control: 'user.created', user_id: user.user_id, user_certificate, device_certificate })

/** `encrypted_answer`: what an API v1 client says to the claimer of the device. */
export const createDevice = (
  ctx: Author,
  { device, device_certificate, redacted_device_certificate }: NewDevice,
  encrypted_answer: Buffer = Buffer.alloc(0),
) =>
  transaction(ctx, ctx.context.organization_id, async tx => {
    const { organization, user, device: certifier } = ctx.context
    void lockPeople(tx, organization)
    const [created] = await Promise.all([
      tx.run(sql`
        INSERT INTO device (organization, user_, device_id, device_label, verify_key, device_certificate,
          redacted_device_certificate, device_certifier, created_on)
        VALUES (${organization}, ${user}, ${device.device_id}, ${device.device_label}, ${device.verify_key}, ${device_certificate},
          ${redacted_device_certificate}, ${certifier}, ${device.timestamp})
        ON CONFLICT DO NOTHING`),
      refuseRevokedAuthor(tx, ctx.context),
    ])
    if (created === 0)
      return { status: 'already_exists' as const, reason: `Device \`${device.device_id}\` already exists` }
    tx.control({ control: 'device.created', device_id: device.device_id, device_certificate, encrypted_answer })
    return { status: 'ok' as const }
  })

/**
 * Clients refuse what a revoked author signed after the revocation, so it must not be stored. The caller's connection
 * is being closed: it gets no reply (spec 03 §1.7).
 */
export async function refuseRevokedAuthor(tx: Queryable, { user }: AuthenticatedContext): Promise<void> {
  const author = await tx.one<{ revoked: boolean }>(
    sql`SELECT revoked_on IS NOT NULL AS revoked FROM user_ WHERE _id = ${user}`,
  )
  if (author?.revoked) throw new Unavailable('the caller has been revoked')
}

type Enrollment = {
  active_users_limit: number | null
  active_users: number
  exists: boolean
  /** The human with this email, if there is one already. */
  human: number | null
  /** … who has a user that is not revoked at this time. */
  is_enrolled: boolean
}

export const enrollment = async (tx: Queryable, organization: number, { user }: NewUser, now: DateTime) =>
  (await tx.one<Enrollment>(sql`
    SELECT organization.active_users_limit,
      (SELECT coalesce(sum(active), 0)::bigint FROM organization_users WHERE organization = organization._id) AS active_users,
      EXISTS (SELECT FROM user_ WHERE organization = organization._id AND user_id = ${user.user_id}) AS exists,
      human._id AS human,
      EXISTS (
        SELECT FROM user_ WHERE human = human._id AND (revoked_on IS NULL OR revoked_on > ${now})
      ) AS is_enrolled
    FROM organization
    LEFT JOIN human ON human.organization = organization._id AND human.email = ${user.human_handle?.[0] ?? null}
    WHERE organization._id = ${organization}`))!

/** A user with the first device; the human is added when its email is new, and never changed. `certifier` null: root key. */
export const insertUser = (
  tx: Queryable,
  {
    organization,
    human,
    certifier,
    newUser,
  }: { organization: number; human: number | null; certifier: number | null; newUser: NewUser },
) => {
  const { user, device, user_certificate, redacted_user_certificate, device_certificate, redacted_device_certificate } =
    newUser
  const [email, label] = user.human_handle ?? [null, null]
  void countUser(tx, organization, user.profile, 'created')
  return tx.run(sql`
    WITH new_human AS (
      INSERT INTO human (organization, email, label, folded_email, folded_label)
      SELECT ${organization}, ${email}::text, ${label}::text, ${email?.toLowerCase() ?? null}::text, ${label?.toLowerCase() ?? null}::text
      WHERE ${email}::text IS NOT NULL AND ${human}::bigint IS NULL RETURNING _id
    ), new_user AS (
      INSERT INTO user_ (organization, user_id, folded_user_id, profile, human, user_certificate, redacted_user_certificate,
        user_certifier, created_on)
      VALUES (${organization}, ${user.user_id}, ${user.user_id.toLowerCase()}, ${user.profile},
        coalesce(${human}::bigint, (SELECT _id FROM new_human)), ${user_certificate}, ${redacted_user_certificate},
        ${certifier}, ${user.timestamp})
      RETURNING _id
    )
    INSERT INTO device (organization, user_, device_id, device_label, verify_key, device_certificate,
      redacted_device_certificate, device_certifier, created_on)
    SELECT ${organization}::bigint, _id, ${device.device_id}, ${device.device_label}, ${device.verify_key}::bytea,
      ${device_certificate}::bytea, ${redacted_device_certificate}::bytea, ${certifier}::bigint, ${device.timestamp}::timestamptz
    FROM new_user`)
}
