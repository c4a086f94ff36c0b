/** Enrollment with an X.509 certificate (spec 03 §7). */
import { bool, bytes, nullable, text, uuid } from '../codec/fields.ts'
import type { DateTime, Uuid } from '../codec/values.ts'
import { limits } from '../limits.ts'
import { AUTHENTICATED, command } from './command.ts'

const ANONYMOUS = { v2: ['anonymous'] } as const

const x509 = () => bytes({ maxBytes: limits.x509_certificate.value })
/** Compressed; what it may become is judged by the command. */
const payload = () => bytes({ maxBytes: limits.certificate.value })

export const pki = {
  pki_enrollment_submit: command<{ submitted_on: DateTime }>()({
    name: 'pki_enrollment_submit',
    callers: ANONYMOUS,
    request: {
      enrollment_id: uuid(),
      force: bool(),
      submitter_der_x509_certificate: x509(),
      submitter_der_x509_certificate_email: nullable(text({ maxBytes: limits.human_handle.value })),
      submit_payload_signature: x509(),
      submit_payload: payload(),
    },
    statuses: [
      'invalid_payload_data',
      'enrollment_id_already_used',
      'id_already_used',
      'already_submitted',
      'already_enrolled',
      'email_already_used',
      'too_many_submitted',
    ],
    since: '2.6',
    section: '03-users §7.3',
  }),
  pki_enrollment_info: command<
    { submitted_on: DateTime } & (
      | { enrollment_status: 'SUBMITTED' }
      | { enrollment_status: 'CANCELLED'; cancelled_on: DateTime }
      | { enrollment_status: 'REJECTED'; rejected_on: DateTime }
      | {
          enrollment_status: 'ACCEPTED'
          accepted_on: DateTime
          accepter_der_x509_certificate: Buffer
          accept_payload_signature: Buffer
          accept_payload: Buffer
        }
    )
  >()({
    name: 'pki_enrollment_info',
    callers: ANONYMOUS,
    request: { enrollment_id: uuid() },
    statuses: ['not_found'],
    since: '2.6',
    section: '03-users §7.4',
  }),
  pki_enrollment_list: command<{
    enrollments: {
      enrollment_id: Uuid
      submitted_on: DateTime
      submitter_der_x509_certificate: Buffer
      submit_payload_signature: Buffer
      submit_payload: Buffer
    }[]
    /** Older ones that did not fit into the reply; absent when there are none. */
    not_listed?: number
  }>()({
    name: 'pki_enrollment_list',
    lane: 'heavy',
    adminOnly: true,
    callers: AUTHENTICATED,
    request: {},
    statuses: ['not_allowed'],
    since: '2.6',
    section: '03-users §7.5',
  }),
  pki_enrollment_reject: command()({
    name: 'pki_enrollment_reject',
    adminOnly: true,
    callers: AUTHENTICATED,
    request: { enrollment_id: uuid() },
    statuses: ['not_allowed', 'not_found', 'no_longer_available'],
    since: '2.6',
    section: '03-users §7.6',
  }),
  pki_enrollment_accept: command()({
    name: 'pki_enrollment_accept',
    adminOnly: true,
    callers: AUTHENTICATED,
    request: {
      enrollment_id: uuid(),
      accepter_der_x509_certificate: x509(),
      accept_payload_signature: x509(),
      accept_payload: payload(),
      user_certificate: bytes(),
      device_certificate: bytes(),
      redacted_user_certificate: bytes(),
      redacted_device_certificate: bytes(),
    },
    statuses: [
      'not_allowed',
      'invalid_payload_data',
      'invalid_certification',
      'invalid_data',
      'not_found',
      'no_longer_available',
      'active_users_limit_reached',
      'already_exists',
    ],
    since: '2.6',
    section: '03-users §7.7',
  }),
}
