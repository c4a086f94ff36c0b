/**
 * Enrollment with an X.509 certificate (spec 03 §7). The server looks into none of them: payloads must decode, the rest
 * is between the two clients. Every change holds the lock of the organization's people.
 */
import { createHash } from 'node:crypto'
import { maxClientMessage } from '@parsec/shared/bus/rpc'
import { payloadFlaw } from '@parsec/shared/certificates/enrollment-payload'
import type { DateTime, Uuid } from '@parsec/shared/codec/values'
import { Unavailable } from '@parsec/shared/errors'
import { limits } from '@parsec/shared/limits'
import { type Queryable, sql } from '@parsec/shared/postgres/sql'
import type { AuthenticatedContext, Context } from '@parsec/shared/protocol/context'
import type { pki as table } from '@parsec/shared/protocol/pki'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import type { Handlers } from '../context.ts'
import { lockPeople, lockPeopleOf } from '../organization/lock.ts'
import { type Tx, transaction } from '../storage/transaction.ts'
import { checkNewUser } from '../user/certificates.ts'
import { addUser, refuseRevokedAuthor } from '../user/people.ts'

/** Clients of several releases stop at a refusal without this key (spec 03 §2), so each has it. */
const NO_REASON = { reason: '' }
/** Most bytes of a listed enrollment besides what its submitter sent. */
const LISTED_OVERHEAD_BYTES = 256

export const pki: Handlers<keyof typeof table> = {
  pki_enrollment_submit: async (ctx, request) => {
    const { organization_id, release } = ctx.context
    const flaw = payloadFlaw('pki_enrollment_submit_payload', request.submit_payload)
    if (flaw) return { status: 'invalid_payload_data', reason: flaw }
    const { enrollment_id, force, submitter_der_x509_certificate: certificate } = request
    const { submit_payload_signature, submit_payload } = request
    return transaction(ctx, organization_id, async tx => {
      void lockPeopleOf(tx, organization_id)
      const facts = await submission(tx, organization_id, request)
      if (!facts) throw new Unavailable('the organization is gone')
      const { organization, latest, enrollment_status, submitted_on } = facts
      if (facts.is_id_used)
        return { status: idUsedStatus(release), reason: 'This enrollment id has been used already.' }
      if (enrollment_status === 'SUBMITTED' && !force)
        return { status: 'already_submitted', reason: 'This certificate has been submitted already.', submitted_on }
      if (enrollment_status === 'ACCEPTED' && !facts.is_accepted_revoked)
        return { status: 'already_enrolled', reason: 'This certificate belongs to an enrolled user.' }
      if (facts.is_email_used)
        return { status: 'email_already_used', reason: 'This email belongs to a user of the organization.' }
      if (facts.is_full && enrollment_status !== 'SUBMITTED')
        return { status: 'too_many_submitted', reason: 'Too many enrollments wait for an administrator.' }
      const now = ctx.now()
      if (enrollment_status === 'SUBMITTED') {
        // Nobody asks for its content any more; what anybody may repeat must not fill the database.
        void tx.run(sql`
          UPDATE pki_enrollment SET enrollment_status = 'CANCELLED', decided_on = ${now},
            submitter_der_x509_certificate = '', submit_payload_signature = '', submit_payload = ''
          WHERE _id = ${latest}`)
        tellUpdated(tx)
      }
      void tx.run(sql`
        INSERT INTO pki_enrollment (organization, enrollment_id, submitter_der_x509_certificate, submit_payload_signature,
          submit_payload, submitted_on, enrollment_status)
        VALUES (${organization}, ${enrollment_id}, ${certificate}, ${submit_payload_signature}, ${submit_payload}, ${now},
          'SUBMITTED')`)
      tellUpdated(tx)
      return { status: 'ok', submitted_on: now }
    })
  },

  pki_enrollment_info: async (ctx, { enrollment_id }) => {
    const found = await ctx.db.one<{
      enrollment_status: 'SUBMITTED' | 'ACCEPTED' | 'REJECTED' | 'CANCELLED'
      submitted_on: DateTime
      decided_on: DateTime
      accepter_der_x509_certificate: Buffer
      accept_payload_signature: Buffer
      accept_payload: Buffer
    }>(sql`
      SELECT enrollment_status, submitted_on, decided_on, accepter_der_x509_certificate, accept_payload_signature,
        accept_payload
      FROM pki_enrollment JOIN organization ON organization._id = pki_enrollment.organization
      WHERE organization.organization_id = ${ctx.context.organization_id} AND enrollment_id = ${enrollment_id}`)
    if (!found) return { status: 'not_found', ...NO_REASON }
    const { enrollment_status, submitted_on, decided_on, ...accepted } = found
    switch (enrollment_status) {
      case 'SUBMITTED':
        return { status: 'ok', enrollment_status, submitted_on }
      case 'CANCELLED':
        return { status: 'ok', enrollment_status, submitted_on, cancelled_on: decided_on }
      case 'REJECTED':
        return { status: 'ok', enrollment_status, submitted_on, rejected_on: decided_on }
      case 'ACCEPTED':
        return { status: 'ok', enrollment_status, submitted_on, accepted_on: decided_on, ...accepted }
    }
  },

  /** Anybody may submit: the newest that fit into one reply, and how many older ones show once these are decided. */
  pki_enrollment_list: async ctx => {
    const rows = await ctx.db.all<{
      enrollment_id: Uuid
      submitted_on: DateTime
      submitter_der_x509_certificate: Buffer
      submit_payload_signature: Buffer
      submit_payload: Buffer
      submitted: number
    }>(sql`
      SELECT enrollment_id, submitted_on, submitter_der_x509_certificate, submit_payload_signature, submit_payload,
        submitted
      FROM (
        SELECT *, count(*) OVER () AS submitted, sum(${LISTED_OVERHEAD_BYTES}::int + octet_length(submitter_der_x509_certificate)
          + octet_length(submit_payload_signature) + octet_length(submit_payload)) OVER (ORDER BY _id DESC) AS bytes
        FROM pki_enrollment WHERE organization = ${ctx.context.organization} AND enrollment_status = 'SUBMITTED'
      ) submitted
      WHERE bytes <= ${maxClientMessage(ctx.bus)} ORDER BY _id`)
    const not_listed = (rows[0]?.submitted ?? 0) - rows.length
    if (not_listed > 0)
      ctx.log.warning('Enrollments not listed', { organization_id: ctx.context.organization_id, not_listed })
    const enrollments = rows.map(({ submitted: _, ...enrollment }) => enrollment)
    return { status: 'ok', enrollments, ...(not_listed > 0 && { not_listed }) }
  },

  pki_enrollment_reject: (ctx, { enrollment_id }) =>
    transaction(ctx, ctx.context.organization_id, async tx => {
      const enrollment = await lockEnrollment(tx, ctx.context, enrollment_id)
      if (!enrollment) return { status: 'not_found', ...NO_REASON }
      if (!enrollment.is_submitted) return { status: 'no_longer_available', ...NO_REASON }
      void tx.run(sql`
        UPDATE pki_enrollment SET enrollment_status = 'REJECTED', decided_on = ${ctx.now()}
        WHERE _id = ${enrollment.enrollment}`)
      tellUpdated(tx)
      return { status: 'ok' }
    }),

  pki_enrollment_accept: async (ctx, request) => {
    const { organization, organization_id, device, device_id, verify_key } = ctx.context
    const flaw = payloadFlaw('pki_enrollment_answer_payload', request.accept_payload)
    if (flaw) return { status: 'invalid_payload_data', reason: flaw }
    const checked = checkNewUser(request, { author: device_id, verify_key }, ctx.now())
    if (!checked.ok) return checked.refusal
    return transaction(ctx, organization_id, async tx => {
      const enrollment = await lockEnrollment(tx, ctx.context, request.enrollment_id)
      if (!enrollment) return { status: 'not_found', ...NO_REASON }
      if (!enrollment.is_submitted) return { status: 'no_longer_available', ...NO_REASON }
      const refusal = await addUser(tx, ctx, checked.value)
      if (refusal) return { status: refusal.status, ...NO_REASON }
      const { accepter_der_x509_certificate, accept_payload_signature, accept_payload } = request
      void tx.run(sql`
        UPDATE pki_enrollment SET enrollment_status = 'ACCEPTED', decided_on = ${ctx.now()}, accepter = ${device},
          accepted = (SELECT _id FROM device WHERE organization = ${organization} AND device_id = ${checked.value.device.device_id}),
          accepter_der_x509_certificate = ${accepter_der_x509_certificate},
          accept_payload_signature = ${accept_payload_signature}, accept_payload = ${accept_payload}
        WHERE _id = ${enrollment.enrollment}`)
      tellUpdated(tx)
      return { status: 'ok' }
    })
  },
}

/** To every profile; gateways spare clients that do not know the event (spec 03 §9.2). */
const tellUpdated = (tx: Tx) => tx.emit({ to: 'organization' }, { event: 'pki_enrollment.updated' })

/** The status was renamed; clients know one of the two (spec 03 §7.3). */
const idUsedStatus = (release: Context['release']) =>
  release !== null && (release[0] > 2 || (release[0] === 2 && release[1] >= 15))
    ? 'id_already_used'
    : 'enrollment_id_already_used'

type Submission = {
  organization: number
  is_id_used: boolean
  /** A user that is not revoked has the email that was sent. */
  is_email_used: boolean
  /** No more may wait. */
  is_full: boolean
  /** The most recent enrollment with the same certificate; null: there is none. */
  latest: number | null
  enrollment_status: string | null
  submitted_on: DateTime | null
  /** The user that it made has been revoked. */
  is_accepted_revoked: boolean
}

const submission = (
  tx: Queryable,
  organization_id: OrganizationID,
  sent: {
    enrollment_id: Uuid
    submitter_der_x509_certificate: Buffer
    submitter_der_x509_certificate_email: string | null
  },
) =>
  tx.one<Submission>(sql`
    SELECT organization._id AS organization,
      EXISTS (
        SELECT FROM pki_enrollment WHERE organization = organization._id AND enrollment_id = ${sent.enrollment_id}
      ) AS is_id_used,
      EXISTS (
        SELECT FROM human JOIN user_ ON user_.human = human._id
        WHERE human.organization = organization._id AND human.email = ${sent.submitter_der_x509_certificate_email}
          AND user_.revoked_on IS NULL
      ) AS is_email_used,
      (
        SELECT count(*) FROM pki_enrollment WHERE organization = organization._id AND enrollment_status = 'SUBMITTED'
      ) >= ${limits.enrollments_submitted.value} AS is_full,
      latest._id AS latest, latest.enrollment_status, latest.submitted_on,
      accepted_user.revoked_on IS NOT NULL AS is_accepted_revoked
    FROM organization
    LEFT JOIN LATERAL (
      SELECT * FROM pki_enrollment
      WHERE organization = organization._id
        AND sha256(submitter_der_x509_certificate) = ${sha256(sent.submitter_der_x509_certificate)}
      ORDER BY _id DESC LIMIT 1
    ) latest ON TRUE
    LEFT JOIN device accepted_device ON accepted_device._id = latest.accepted
    LEFT JOIN user_ accepted_user ON accepted_user._id = accepted_device.user_
    WHERE organization.organization_id = ${organization_id}`)

const sha256 = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest()

/** An enrollment, with the people's lock held for a caller that is not revoked. */
async function lockEnrollment(tx: Queryable, context: AuthenticatedContext, enrollment_id: Uuid) {
  const { organization } = context
  void lockPeople(tx, organization)
  const [enrollment] = await Promise.all([
    tx.one<{ enrollment: number; is_submitted: boolean }>(sql`
      SELECT _id AS enrollment, enrollment_status = 'SUBMITTED' AS is_submitted FROM pki_enrollment
      WHERE organization = ${organization} AND enrollment_id = ${enrollment_id}`),
    refuseRevokedAuthor(tx, context),
  ])
  return enrollment
}
