/** The three messages of a handshake: challenge, answer, result (spec 01 §7). */
import { z } from 'zod'
import { bytes, constant, deviceId, enumeration, key, nullable, organizationId, text, uuid } from '../codec/fields.ts'
import { encode } from '../codec/msgpack.ts'
import { DateTime, Float } from '../codec/values.ts'
import { limits } from '../limits.ts'
import { BALLPARK_CLIENT_EARLY_OFFSET, BALLPARK_CLIENT_LATE_OFFSET } from './ballpark.ts'
import { INVITATION_TYPES } from './types.ts'
import { type ApiVersion, SUPPORTED_API_VERSIONS } from './versions.ts'

/** Length of a challenge, in bytes. */
export const CHALLENGE_BYTES = 48

/** The first message of the server, around `challenge` (48 random bytes). Clients from 2.16 on need all of its fields. */
export function challengeMessage(challenge: Buffer): Buffer {
  const message = Buffer.from(CHALLENGE)
  challenge.copy(message, CHALLENGE_AT)
  message.writeDoubleBE(DateTime.now().seconds, CHALLENGE.length - TIMESTAMP_BYTES)
  return message
}
const NO_CHALLENGE = Buffer.alloc(CHALLENGE_BYTES)
/** All but two fields are always the same; the time is the last. */
const CHALLENGE = encode({
  handshake: 'challenge',
  challenge: NO_CHALLENGE,
  supported_api_versions: SUPPORTED_API_VERSIONS,
  ballpark_client_early_offset: new Float(BALLPARK_CLIENT_EARLY_OFFSET),
  ballpark_client_late_offset: new Float(BALLPARK_CLIENT_LATE_OFFSET),
  backend_timestamp: DateTime.now(),
})
const CHALLENGE_AT = CHALLENGE.indexOf(NO_CHALLENGE)
const TIMESTAMP_BYTES = 8

/** Why a handshake is refused (spec 01 §7.3). */
export type HandshakeRefusal = {
  result:
    | 'bad_protocol'
    | 'bad_identity'
    | 'rvk_mismatch'
    | 'organization_expired'
    | 'revoked_device'
    | 'frozen_user'
    | 'bad_admin_token'
  help: string
}
export type HandshakeResult = { result: 'ok' } | HandshakeRefusal

/** The last message of a handshake; an `ok` carries no `help`. */
export const resultMessage = (result: HandshakeResult): Buffer => encode({ handshake: 'result', ...result })
export const RESULT_OK = resultMessage({ result: 'ok' })

const isVersion = (v: unknown): boolean =>
  Array.isArray(v) && v.length === 2 && v.every(n => Number.isSafeInteger(n) && n >= 0)

/** What is looked at before anything else of an answer. */
export const answerOpening = z.object({
  handshake: constant('answer'),
  client_api_version: z.custom<ApiVersion>(isVersion, {
    error: issue =>
      issue.input === undefined
        ? 'Missing data for required field.'
        : issue.input === null
          ? 'Field may not be null.'
          : 'Not a valid API version.',
  }),
})

const authenticated = z.object({
  organization_id: organizationId(),
  device_id: deviceId(),
  rvk: key(),
  answer: bytes(),
})
export type AuthenticatedAnswer = z.infer<typeof authenticated>
const invited = z.object({
  organization_id: organizationId(),
  invitation_type: enumeration(INVITATION_TYPES),
  token: uuid(),
})
export type InvitedAnswer = z.infer<typeof invited>
const anonymous = z.object({ organization_id: organizationId(), rvk: nullable(key()) })
export type AnonymousAnswer = z.infer<typeof anonymous>
const administration = z.object({ token: text({ maxBytes: limits.administration_token.value }) })
export type AdministrationAnswer = z.infer<typeof administration>

/** The schema of an answer of `type` under a major, with the kind of client that it makes; undefined: no such type. */
export function answerSchema(major: number, type: unknown): AnswerSchema | undefined {
  switch (type) {
    case 'authenticated':
      return major === 1 ? { kind: 'authenticated', schema: authenticated } : undefined
    case 'anonymous':
      return major === 1 ? { kind: 'anonymous', schema: anonymous } : undefined
    case 'administration':
      return major === 1 ? { kind: 'administration', schema: administration } : undefined
    case 'AUTHENTICATED':
      return major !== 1 ? { kind: 'authenticated', schema: authenticated } : undefined
    case 'INVITED':
      return major !== 1 ? { kind: 'invited', schema: invited } : undefined
    default:
      return undefined
  }
}
export type AnswerSchema =
  | { kind: 'authenticated'; schema: z.ZodType<AuthenticatedAnswer> }
  | { kind: 'invited'; schema: z.ZodType<InvitedAnswer> }
  | { kind: 'anonymous'; schema: z.ZodType<AnonymousAnswer> }
  | { kind: 'administration'; schema: z.ZodType<AdministrationAnswer> }

const signedAnswer = z.object({ type: constant('signed_answer'), answer: bytes() })
/** What a client from 2.5 on signs: a map around the challenge. */
export const signedAnswerSchema: z.ZodType<{ type: string; answer: Buffer }> = signedAnswer
