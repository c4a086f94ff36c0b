/** Users, devices and humans (spec 03 §4). Every change of an organization's people holds the organization's row. */
import { loadCertificate } from '@parsec/shared/certificates'
import type { HumanHandle } from '@parsec/shared/codec/fields'
import type { DateTime } from '@parsec/shared/codec/values'
import { Unavailable } from '@parsec/shared/errors'
import { type Queryable, sql } from '@parsec/shared/postgres'
import { isInBallpark } from '@parsec/shared/protocol/ballpark'
import type { AuthenticatedContext } from '@parsec/shared/protocol/context'
import type { UserID } from '@parsec/shared/protocol/types'
import type { Trustchain, user as table } from '@parsec/shared/protocol/user'
import type { Deps, Handlers } from '../context.ts'
import { checkNewDevice, checkNewUser, type NewDevice, type NewUser } from '../rules/enrollment.ts'
import { transaction } from '../transaction.ts'

export const user: Handlers<keyof typeof table> = {
  user_get: async (ctx, { user_id }) => {
    const { organization, profile } = ctx.context
    const found = await getUser(ctx.db, organization, user_id, profile === 'OUTSIDER')
    if (!found) return { status: 'not_found' }
    const { user_certificate, revoked_user_certificate, device_certificates, devices, users, revoked_users } = found
    return {
      status: 'ok',
      user_certificate,
      revoked_user_certificate,
      device_certificates,
      trustchain: { devices, users, revoked_users },
    }
  },

  user_create: async (ctx, request) => {
    const checked = checkNewUser(request, signerOf(ctx.context), ctx.now())
    if (!checked.ok) return checked.refusal
    return createUser(ctx, checked.value)
  },

  device_create: async (ctx, request) => {
    const checked = checkNewDevice(request, signerOf(ctx.context), ctx.context.user_id, ctx.now())
    if (!checked.ok) return checked.refusal
    return createDevice(ctx, checked.value)
  },

  user_revoke: async (ctx, { revoked_user_certificate }) => {
    const { organization, organization_id, device, user_id: caller } = ctx.context
    const loaded = loadCertificate('revoked_user_certificate', revoked_user_certificate, signerOf(ctx.context))
    if (!loaded.ok) return { status: 'invalid_certification', reason: loaded.reason }
    const { user_id, timestamp } = loaded.certificate
    if (!isInBallpark(timestamp, ctx.now()))
      return { status: 'invalid_certification', reason: 'Invalid timestamp in certification.' }
    if (user_id === caller) return { status: 'not_allowed', reason: 'Cannot do self-revocation' }
    return transaction(ctx, organization_id, async tx => {
      void lockPeople(tx, organization)
      const target = await tx.one<{ user: number; revoked_on: DateTime | null }>(sql`
        SELECT _id AS user, revoked_on FROM user_ WHERE organization = ${organization} AND user_id = ${user_id}`)
      if (!target) return { status: 'not_found' }
      if (target.revoked_on !== null)
        return { status: 'already_revoked', reason: `User \`${user_id}\` already revoked` }
      void tx.run(sql`
        UPDATE user_ SET revoked_on = ${timestamp}, revoked_user_certificate = ${revoked_user_certificate},
          revoked_user_certifier = ${device} WHERE _id = ${target.user}`)
      tx.control({ control: 'user.revoked', user_id })
      return { status: 'ok' }
    })
  },

  human_find: async (ctx, { query, omit_revoked, omit_non_human, page, per_page }) => {
    const { organization, profile } = ctx.context
    if (profile === 'OUTSIDER') return { status: 'not_allowed', reason: 'Not allowed for user with OUTSIDER profile.' }
    const pattern = wordsPattern(query)
    const rows = await ctx.db.all<{
      total: number
      user_id: UserID | null
      email: string
      label: string
      revoked: boolean
    }>(sql`
      WITH matched AS (
        SELECT user_.user_id, human.email, human.label, human.folded_label, user_.folded_user_id,
          user_.revoked_on IS NOT NULL AND user_.revoked_on <= ${ctx.now()} AS revoked
        FROM user_ LEFT JOIN human ON human._id = user_.human
        WHERE user_.organization = ${organization}
          AND NOT (${omit_non_human} AND user_.human IS NULL)
          AND NOT (${omit_revoked} AND user_.revoked_on IS NOT NULL AND user_.revoked_on <= ${ctx.now()})
          AND (${pattern}::text IS NULL OR human.folded_label LIKE ${pattern} OR human.folded_email LIKE ${pattern}
            OR (user_.human IS NULL AND user_.folded_user_id LIKE ${pattern}))
      )
      SELECT total.total, page.user_id, page.email, page.label, page.revoked
      FROM (SELECT count(*) AS total FROM matched) total LEFT JOIN LATERAL (
        SELECT * FROM matched
        ORDER BY folded_label COLLATE "C" NULLS LAST, folded_user_id COLLATE "C", user_id COLLATE "C"
        LIMIT ${per_page} OFFSET ${(page - 1) * per_page}
      ) page ON TRUE`)
    const results = rows.flatMap(({ user_id, email, label, revoked }) =>
      user_id === null
        ? []
        : [{ user_id, human_handle: label === null ? null : ([email, label] as HumanHandle), revoked }],
    )
    return { status: 'ok', results, page, per_page, total: rows[0]!.total }
  },
}

const signerOf = ({ device_id, verify_key }: AuthenticatedContext) => ({ author: device_id, verify_key })

/** A LIKE pattern for texts that hold all words of a query in order; null matches everything. */
export function wordsPattern(query: string | null): string | null {
  const words = (query ?? '').toLowerCase().split(/\s+/u).filter(Boolean)
  return words.length === 0 ? null : `%${words.map(escapeLike).join('%')}%`
}
export const escapeLike = (text: string): string => text.replace(/[\\%_]/g, '\\$&')

/** Orders changes of the organization's people and of its limit. */
export const lockPeople = (tx: Queryable, organization: number) =>
  tx.run(sql`SELECT FROM organization WHERE _id = ${organization} FOR NO KEY UPDATE`)

type Author = Deps & { context: AuthenticatedContext }

/** Lines 4 to 7 of `user_create` (spec 03 §4.2). */
export const createUser = (ctx: Author, newUser: NewUser) =>
  transaction(ctx, ctx.context.organization_id, async tx => {
    const { organization, device } = ctx.context
    void lockPeople(tx, organization)
    void refuseRevokedAuthor(tx, ctx.context)
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
    return { status: 'ok' as const }
  })

export const createDevice = (ctx: Author, { device, device_certificate, redacted_device_certificate }: NewDevice) =>
  transaction(ctx, ctx.context.organization_id, async tx => {
    const { organization, user, device: certifier } = ctx.context
    void lockPeople(tx, organization)
    void refuseRevokedAuthor(tx, ctx.context)
    const created = await tx.run(sql`
      INSERT INTO device (organization, user_, device_id, device_label, verify_key, device_certificate,
        redacted_device_certificate, device_certifier, created_on)
      VALUES (${organization}, ${user}, ${device.device_id}, ${device.device_label}, ${device.verify_key}, ${device_certificate},
        ${redacted_device_certificate}, ${certifier}, ${device.timestamp})
      ON CONFLICT DO NOTHING`)
    if (created === 0)
      return { status: 'already_exists' as const, reason: `Device \`${device.device_id}\` already exists` }
    return { status: 'ok' as const }
  })

/**
 * Clients refuse what a revoked author signed after the revocation, so it must not be stored. The caller's connection
 * is being closed: it gets no reply (spec 03 §1.7).
 */
async function refuseRevokedAuthor(tx: Queryable, { user }: AuthenticatedContext): Promise<void> {
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
      (SELECT count(*) FROM user_ WHERE organization = organization._id AND revoked_on IS NULL) AS active_users,
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

type FoundUser = Trustchain & {
  user_certificate: Buffer
  revoked_user_certificate: Buffer | null
  device_certificates: Buffer[]
}

/**
 * A user with devices and trustchain, in one consistent statement. The chain is the closure over certifiers
 * (spec 03 §4.1); UNION drops repetitions, so cycles end.
 */
const getUser = (db: Queryable, organization: number, user_id: UserID, redacted: boolean) =>
  db.one<FoundUser>(sql`
    WITH RECURSIVE target AS (
      SELECT * FROM user_ WHERE organization = ${organization} AND user_id = ${user_id}
    ), chain (device) AS (
      SELECT certifier FROM (
        SELECT user_certifier FROM target UNION ALL SELECT revoked_user_certifier FROM target
        UNION ALL SELECT device_certifier FROM device WHERE user_ = (SELECT _id FROM target)
      ) seed (certifier) WHERE certifier IS NOT NULL
      UNION
      SELECT link.certifier
      FROM chain JOIN device ON device._id = chain.device JOIN user_ ON user_._id = device.user_
      CROSS JOIN LATERAL (VALUES (device.device_certifier), (user_.user_certifier), (user_.revoked_user_certifier)) link (certifier)
      WHERE link.certifier IS NOT NULL
    ), chain_device AS (
      SELECT device.* FROM device WHERE _id IN (SELECT device FROM chain)
    ), chain_user AS (
      SELECT user_.* FROM user_ WHERE _id IN (SELECT user_ FROM chain_device)
    )
    SELECT CASE WHEN ${redacted} THEN redacted_user_certificate ELSE user_certificate END AS user_certificate,
      revoked_user_certificate,
      ARRAY(SELECT CASE WHEN ${redacted} THEN redacted_device_certificate ELSE device_certificate END
        FROM device WHERE user_ = target._id ORDER BY _id) AS device_certificates,
      ARRAY(SELECT CASE WHEN ${redacted} THEN redacted_device_certificate ELSE device_certificate END
        FROM chain_device ORDER BY _id) AS devices,
      ARRAY(SELECT CASE WHEN ${redacted} THEN redacted_user_certificate ELSE user_certificate END
        FROM chain_user ORDER BY _id) AS users,
      ARRAY(SELECT revoked_user_certificate FROM chain_user WHERE revoked_user_certificate IS NOT NULL ORDER BY _id) AS revoked_users
    FROM target`)
