/** Users, devices and humans (spec 03 §4). Every change of an organization's people holds the organization's row. */
import { loadCertificate } from '@parsec/shared/certificates/certificate'
import type { HumanHandle } from '@parsec/shared/codec/fields'
import type { DateTime } from '@parsec/shared/codec/values'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import { isInBallpark } from '@parsec/shared/protocol/ballpark'
import type { AuthenticatedContext } from '@parsec/shared/protocol/context'
import type { UserID, UserProfile } from '@parsec/shared/protocol/types'
import type { Trustchain, user as table } from '@parsec/shared/protocol/user'
import type { Handlers } from '../context.ts'
import { lockPeople } from '../organization/lock.ts'
import { countUser } from '../organization/tally.ts'
import { transaction } from '../storage/transaction.ts'
import { checkNewDevice, checkNewUser } from './certificates.ts'
import { createDevice, createUser, refuseRevokedAuthor } from './people.ts'
import { EMAIL, LABEL, USER_ID, wordsPattern } from './search.ts'
import { CHAIN, TRUSTCHAIN } from './trustchain.ts'

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
      await refuseRevokedAuthor(tx, ctx.context)
      const target = await tx.one<{ user: number; profile: UserProfile; revoked_on: DateTime | null }>(sql`
        SELECT _id AS user, profile, revoked_on FROM user_ WHERE organization = ${organization} AND user_id = ${user_id}`)
      if (!target) return { status: 'not_found' }
      if (target.revoked_on !== null)
        return { status: 'already_revoked', reason: `User \`${user_id}\` already revoked` }
      void tx.run(sql`
        UPDATE user_ SET revoked_on = ${timestamp}, revoked_user_certificate = ${revoked_user_certificate},
          revoked_user_certifier = ${device} WHERE _id = ${target.user}`)
      void countUser(tx, organization, target.profile, 'revoked')
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
      WITH pattern AS (SELECT ${pattern}::text AS pattern), matched AS (
        SELECT user_.user_id, human.email, human.label, human.folded_label, user_.folded_user_id,
          user_.revoked_on IS NOT NULL AND user_.revoked_on <= ${ctx.now()} AS revoked
        FROM pattern CROSS JOIN user_ LEFT JOIN human ON human._id = user_.human
        WHERE user_.organization = ${organization}
          AND NOT (${omit_non_human} AND user_.human IS NULL)
          AND NOT (${omit_revoked} AND user_.revoked_on IS NOT NULL AND user_.revoked_on <= ${ctx.now()})
          AND (pattern IS NULL OR ${LABEL} LIKE pattern OR ${EMAIL} LIKE pattern
            OR (user_.human IS NULL AND ${USER_ID} LIKE pattern))
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

type FoundUser = Trustchain & {
  user_certificate: Buffer
  revoked_user_certificate: Buffer | null
  device_certificates: Buffer[]
}

/** A user with devices and trustchain, in one consistent statement. */
const getUser = (db: Queryable, organization: number, user_id: UserID, redacted: boolean) =>
  db.one<FoundUser>(sql`
    WITH RECURSIVE viewer (redacted) AS (
      VALUES (${redacted}::boolean)
    ), target AS (
      SELECT * FROM user_ WHERE organization = ${organization} AND user_id = ${user_id}
    ), target_device AS (
      SELECT device.* FROM device WHERE user_ = (SELECT _id FROM target)
    ), seed (certifier) AS (
      SELECT user_certifier FROM target UNION ALL SELECT revoked_user_certifier FROM target
      UNION ALL SELECT device_certifier FROM target_device
    ), ${CHAIN}
    SELECT CASE WHEN redacted THEN redacted_user_certificate ELSE user_certificate END AS user_certificate,
      revoked_user_certificate,
      ARRAY(SELECT CASE WHEN redacted THEN redacted_device_certificate ELSE device_certificate END
        FROM target_device ORDER BY _id) AS device_certificates,
      ${TRUSTCHAIN}
    FROM target, viewer`)
