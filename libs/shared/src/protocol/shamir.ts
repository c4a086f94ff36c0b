/** Shared recovery (spec 03 §8). */
import { bytes, list, requiredNullable, struct, uuid } from '../codec/fields.ts'
import { limits } from '../limits.ts'
import { AUTHENTICATED, command, INVITED } from './command.ts'

export const shamir = {
  shamir_recovery_setup: command()({
    name: 'shamir_recovery_setup',
    callers: AUTHENTICATED,
    request: {
      setup: requiredNullable(
        struct({
          ciphered_data: bytes(),
          reveal_token: uuid(),
          brief: bytes(),
          shares: list(bytes(), { max: limits.shamir_shares.value }),
        }),
      ),
    },
    statuses: ['invalid_data'],
    since: '2.9',
    section: '03-users §8.2',
  }),
  shamir_recovery_self_info: command<{ self_info: Buffer | null }>()({
    name: 'shamir_recovery_self_info',
    callers: AUTHENTICATED,
    request: {},
    since: '2.9',
    section: '03-users §8.3',
  }),
  shamir_recovery_others_list: command<{ brief_certificates: Buffer[]; share_certificates: Buffer[] }>()({
    name: 'shamir_recovery_others_list',
    callers: AUTHENTICATED,
    lane: 'heavy',
    request: {},
    since: '2.9',
    section: '03-users §8.4',
  }),
  invite_shamir_recovery_reveal: command<{ ciphered_data: Buffer }>()({
    name: 'invite_shamir_recovery_reveal',
    callers: INVITED,
    request: { reveal_token: uuid() },
    statuses: ['not_found'],
    since: '2.9',
    section: '03-users §8.5',
  }),
}
