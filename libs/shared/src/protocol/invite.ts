/** Invitations and the exchange between greeter and claimer (spec 04). */
import { z } from 'zod'
import {
  bool,
  bytes,
  constant,
  enumeration,
  type HumanHandle,
  key,
  nullable,
  userId,
  uuid,
  verbatimText,
} from '../codec/fields.ts'
import type { DateTime, Uuid } from '../codec/values.ts'
import { MAIL_DEADLINE_MS } from '../deadlines.ts'
import { AUTHENTICATED, command, INVITED } from './command.ts'
import { INVITATION_DELETED_REASONS, type InvitationStatus, type UserID } from './types.ts'

/** The states of an exchange in their order; the last one follows itself (spec 04 §6.1). */
export const CONDUIT_STATES = [
  '1_WAIT_PEERS',
  '2_1_CLAIMER_HASHED_NONCE',
  '2_2_GREETER_NONCE',
  '2_3_CLAIMER_NONCE',
  '3_1_CLAIMER_TRUST',
  '3_2_GREETER_TRUST',
  '4_COMMUNICATE',
] as const
export type ConduitState = (typeof CONDUIT_STATES)[number]
export type ConduitSide = 'greeter' | 'claimer'

/** Most characters of an invited address, which need not look like one; compared as it is, so it is not normalised. */
const MAX_CLAIMER_EMAIL_LENGTH = 255
const MAX_CHARACTER_BYTES = 4
const claimerEmail = () =>
  verbatimText({ maxBytes: MAX_CLAIMER_EMAIL_LENGTH * MAX_CHARACTER_BYTES }).refine(
    v => v.length > 0 && [...v].length <= MAX_CLAIMER_EMAIL_LENGTH && !v.includes('\0') && v.isWellFormed(),
    'Invalid data',
  )

const GREETER_STATUSES = ['not_found', 'already_deleted', 'invalid_state'] as const
const CLAIMER_STATUSES = ['not_found', 'invalid_state'] as const

/** A step of the greeter: waits in the gateway for the claimer's. */
const greeterStep = <const Name extends string, Ok extends object, S extends z.ZodRawShape>(
  name: Name,
  request: S,
  _ok?: Ok,
) =>
  command<Ok>()({
    name,
    callers: AUTHENTICATED,
    service: 'gateway',
    request: { token: uuid(), ...request },
    statuses: GREETER_STATUSES,
    since: '2.0',
    section: '04-invite §7',
  })
/** A step of the claimer; only the first may be cancelled by a next message. */
const claimerStep = <const Name extends string, Ok extends object, S extends z.ZodRawShape>(
  name: Name,
  request: S,
  _ok?: Ok,
  cancellable = false,
) =>
  command<Ok>()({
    name,
    callers: INVITED,
    service: 'gateway',
    request: { greeter_user_id: nullable(userId()), ...request },
    statuses: CLAIMER_STATUSES,
    cancellable,
    since: '2.0',
    section: '04-invite §7',
  })
const shape = <T>() => undefined as T | undefined

export const invite = {
  invite_new: command<{ token: Uuid; email_sent: 'SUCCESS' | 'NOT_AVAILABLE' | 'BAD_RECIPIENT' }>()({
    name: 'invite_new',
    callers: AUTHENTICATED,
    slow: { when: ({ message }) => message.send_email === true, deadlineMs: MAIL_DEADLINE_MS },
    request: z.discriminatedUnion('type', [
      z.object({
        type: constant('USER'),
        claimer_email: claimerEmail(),
        send_email: bool(),
      }),
      z.object({ type: constant('DEVICE'), send_email: bool() }),
      z.object({
        type: constant('SHAMIR_RECOVERY'),
        claimer_user_id: userId(),
        send_email: bool(),
      }),
    ]),
    statuses: ['not_available', 'not_allowed', 'already_member', 'shamir_recovery_not_setup'],
    since: '2.0',
    section: '04-invite §4.1',
  }),
  invite_delete: command()({
    name: 'invite_delete',
    callers: AUTHENTICATED,
    request: { token: uuid(), reason: enumeration(INVITATION_DELETED_REASONS) },
    statuses: ['not_found', 'already_deleted'],
    since: '2.0',
    section: '04-invite §4.2',
  }),
  invite_list: command<{
    invitations: ({ token: Uuid; created_on: DateTime; status: InvitationStatus } & (
      | { type: 'USER'; claimer_email: string }
      | { type: 'DEVICE' }
      | { type: 'SHAMIR_RECOVERY'; claimer_user_id: UserID }
    ))[]
  }>()({
    name: 'invite_list',
    callers: AUTHENTICATED,
    lane: 'heavy',
    request: {},
    since: '2.0',
    section: '04-invite §4.3',
  }),
  invite_info: command<
    | { type: 'USER'; claimer_email: string; greeter_user_id: UserID; greeter_human_handle: HumanHandle | null }
    | { type: 'DEVICE'; greeter_user_id: UserID; greeter_human_handle: HumanHandle | null }
    | {
        type: 'SHAMIR_RECOVERY'
        threshold: number
        recipients: { user_id: UserID; human_handle: HumanHandle | null; shares: number }[]
      }
  >()({
    name: 'invite_info',
    callers: INVITED,
    request: {},
    since: '2.0',
    section: '04-invite §4.4',
  }),
  invite_1_claimer_wait_peer: claimerStep(
    'invite_1_claimer_wait_peer',
    { claimer_public_key: key() },
    shape<{ greeter_public_key: Buffer }>(),
    true,
  ),
  invite_1_greeter_wait_peer: greeterStep(
    'invite_1_greeter_wait_peer',
    { greeter_public_key: key() },
    shape<{ claimer_public_key: Buffer }>(),
  ),
  invite_2a_claimer_send_hashed_nonce: claimerStep(
    'invite_2a_claimer_send_hashed_nonce',
    { claimer_hashed_nonce: bytes() },
    shape<{ greeter_nonce: Buffer }>(),
  ),
  invite_2a_greeter_get_hashed_nonce: greeterStep(
    'invite_2a_greeter_get_hashed_nonce',
    {},
    shape<{ claimer_hashed_nonce: Buffer }>(),
  ),
  invite_2b_greeter_send_nonce: greeterStep(
    'invite_2b_greeter_send_nonce',
    { greeter_nonce: bytes() },
    shape<{ claimer_nonce: Buffer }>(),
  ),
  invite_2b_claimer_send_nonce: claimerStep('invite_2b_claimer_send_nonce', { claimer_nonce: bytes() }),
  invite_3a_claimer_signify_trust: claimerStep('invite_3a_claimer_signify_trust', {}),
  invite_3a_greeter_wait_peer_trust: greeterStep('invite_3a_greeter_wait_peer_trust', {}),
  invite_3b_greeter_signify_trust: greeterStep('invite_3b_greeter_signify_trust', {}),
  invite_3b_claimer_wait_peer_trust: claimerStep('invite_3b_claimer_wait_peer_trust', {}),
  invite_4_greeter_communicate: greeterStep(
    'invite_4_greeter_communicate',
    { payload: bytes() },
    shape<{ payload: Buffer }>(),
  ),
  invite_4_claimer_communicate: claimerStep(
    'invite_4_claimer_communicate',
    { payload: bytes() },
    shape<{ payload: Buffer }>(),
  ),
}
