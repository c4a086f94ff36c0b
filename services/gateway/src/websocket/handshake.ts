/** Who is it? Judges the answer to a challenge; the first failing check wins (spec 01 §7.4, 04 §3.1). */
import { randomBytes } from 'node:crypto'
import type { Bus } from '@parsec/shared/bus/bus'
import { callInternal } from '@parsec/shared/bus/rpc'
import type { Cancellation } from '@parsec/shared/cancellation'
import { openSigned } from '@parsec/shared/certificates/crypto'
import { parse } from '@parsec/shared/codec/fields'
import { decodeMap, type Encodable, STRANGER_MESSAGE, type Value } from '@parsec/shared/codec/msgpack'
import { DateTime } from '@parsec/shared/codec/values'
import type { AdministrationGuard } from '@parsec/shared/http/administration-guard'
import type { Log, LogKeys } from '@parsec/shared/log'
import type { Context } from '@parsec/shared/protocol/context'
import {
  type AdministrationAnswer,
  type AnonymousAnswer,
  type AuthenticatedAnswer,
  answerOpening,
  answerSchema,
  CHALLENGE_BYTES,
  type HandshakeRefusal,
  type InvitedAnswer,
  signedAnswerSchema,
} from '@parsec/shared/protocol/handshake'
import type { DeviceFacts, OrganizationFacts } from '@parsec/shared/protocol/internal'
import { type OrganizationID, userOf } from '@parsec/shared/protocol/types'
import { type ApiVersion, answersWithMap, formatVersion, noOverlap, settle } from '@parsec/shared/protocol/versions'
import type { EventHub } from '../events/hub.ts'
import type { Organization, Peer, Session } from '../events/session.ts'
import { Claimer } from '../invite/claimer.ts'

/** Challenges of one gateway. Each time that the system is asked for random bytes costs more than so many of them. */
export class Challenges {
  #random = Buffer.alloc(0)
  /** Random bytes that nobody has got before. */
  next(): Buffer {
    if (this.#random.length === 0) this.#random = randomBytes(CHALLENGES_AT_ONCE * CHALLENGE_BYTES)
    const challenge = this.#random.subarray(0, CHALLENGE_BYTES)
    this.#random = this.#random.subarray(CHALLENGE_BYTES)
    return challenge
  }
}
const CHALLENGES_AT_ONCE = 64

export type Judge = { bus: Bus; hub: EventHub; log: Log; guard: AdministrationGuard }
/** What is known about a connection before its answer; `signal` fires when it has gone. */
export type Caller = {
  conn_id: string
  address: string
  release: Context['release']
  peer: Peer
  signal: Cancellation
}
/** An accepted client. Whoever gets it owes the hub an `exit` of `organization`, when there is one, and the claimer a `leave`. */
export type Accepted = {
  context: Context
  organization: Organization | null
  session: Session | null
  claimer?: Claimer
}
export type Verdict = { accepted: Accepted } | { refused: HandshakeRefusal }

const refuse = (result: HandshakeRefusal['result'], help: string): { refused: HandshakeRefusal } => ({
  refused: { result, help },
})
const BAD_IDENTITY = refuse('bad_identity', 'Invalid handshake information')
const RVK_MISMATCH = refuse('rvk_mismatch', 'Root verify key for organization differs between client and server')
const EXPIRED = refuse('organization_expired', 'The organization has expired')
const badAnswer = (errors: Encodable) => refuse('bad_protocol', errorsText(errors))

export const TEXT_ANSWER = refuse('bad_protocol', 'Expected bytes message in websocket').refused

/** With keys for the log: who a refused client says that it is. */
export type Judgement = { accepted: Accepted } | { refused: HandshakeRefusal; claimed: LogKeys }
/**
 * Judges an answer. Rejects with `Unavailable` or `RemoteFailure` when the facts are not to be had.
 * An accepted or refused session may have been told to end meanwhile: its peer knows.
 */
export async function judgeAnswer(judge: Judge, caller: Caller, challenge: Buffer, bytes: Buffer): Promise<Judgement> {
  const claimed: Claimed = {}
  const verdict = await judged(judge, caller, challenge, bytes, claimed)
  return 'refused' in verdict ? { ...verdict, claimed } : verdict
}
type Claimed = { client_api_version?: string; organization_id?: string; device_id?: string }

async function judged(
  judge: Judge,
  caller: Caller,
  challenge: Buffer,
  bytes: Buffer,
  claimed: Claimed,
): Promise<Verdict> {
  let answer: { [field: string]: Value }
  try {
    answer = decodeMap(bytes, STRANGER_MESSAGE)
  } catch (error) {
    return refuse('bad_protocol', `Invalid msgpack data: ${(error as Error).message}`)
  }
  const opening = parse(answerOpening, answer)
  if (!opening.ok) return badAnswer(opening.errors)
  // A copy: the decoder's array has room for more, and this lives as long as its connection.
  const [major, revision] = opening.value.client_api_version
  const api_version: ApiVersion = [major, revision]
  claimed.client_api_version = formatVersion(api_version)
  if (!settle(api_version)) return refuse('bad_protocol', noOverlap(api_version))

  const known = answerSchema(major, answer.type)
  if (!known) return badAnswer(new Map([['type', ['Unsupported value.']]]))
  const fields = parse<unknown>(known.schema, answer)
  if (!fields.ok) return badAnswer(fields.errors)
  // Well-formed by now.
  const { organization_id, device_id } = answer
  if (typeof organization_id === 'string') claimed.organization_id = organization_id
  if (typeof device_id === 'string') claimed.device_id = device_id
  const hello = { ...caller, api_version }
  switch (known.kind) {
    case 'authenticated':
      return within(judge, (fields.value as AuthenticatedAnswer).organization_id, organization =>
        authenticated(judge, hello, organization, challenge, fields.value as AuthenticatedAnswer),
      )
    case 'invited':
      return within(judge, (fields.value as InvitedAnswer).organization_id, organization =>
        invited(judge, hello, organization, fields.value as InvitedAnswer),
      )
    case 'anonymous':
      return anonymous(judge, hello, fields.value as AnonymousAnswer)
    case 'administration':
      return administration(judge, hello, fields.value as AdministrationAnswer)
  }
}

type Hello = Caller & { api_version: ApiVersion }

/**
 * Runs checks while orders about the organization are heard: a revocation that is committed after the facts were read
 * then ends the session, however early.
 */
async function within(
  judge: Judge,
  id: OrganizationID,
  check: (organization: Organization) => Promise<Verdict>,
): Promise<Verdict> {
  const organization = await judge.hub.enter(id)
  let verdict: Verdict | undefined
  try {
    verdict = await check(organization)
  } finally {
    // A refused or failed session was never told to anybody; `check` has taken it back.
    if (!verdict || 'refused' in verdict) judge.hub.exit(organization, null, verdict !== BAD_IDENTITY)
  }
  if (verdict === EXPIRED) tellExpired(judge, id)
  return verdict
}

async function authenticated(
  judge: Judge,
  hello: Hello,
  organization: Organization,
  challenge: Buffer,
  answer: AuthenticatedAnswer,
): Promise<Verdict> {
  const { api_version, release, peer } = hello
  const session = organization.join(userOf(answer.device_id), answer.device_id, api_version, peer, release)
  let verdict: Verdict | undefined
  try {
    const { organization_id, device_id } = answer
    const facts = await callInternal(
      judge.bus,
      'session_open',
      { organization_id, device_id },
      { signal: hello.signal },
    )
    const refused = judgeDevice(facts.organization, facts.device, challenge, answer, hello.api_version)
    if (refused) verdict = refused
    else {
      const context = authenticatedContext(hello, organization_id, facts.organization!, facts.device!)
      verdict = { accepted: { context, organization, session } }
    }
    return verdict
  } finally {
    if (!verdict || 'refused' in verdict) organization.leave(session)
  }
}

function judgeDevice(
  organization: OrganizationFacts | null,
  device: DeviceFacts | null,
  challenge: Buffer,
  { rvk, answer }: AuthenticatedAnswer,
  api_version: ApiVersion,
): Verdict | undefined {
  if (!organization || !device) return BAD_IDENTITY
  if (!organization.root_verify_key?.equals(rvk)) return RVK_MISMATCH
  if (organization.is_expired) return EXPIRED
  // One stamped slightly in the future does not count yet (spec 01 §7.4, step 6).
  if (device.revoked_on !== null && !device.revoked_on.isAfter(DateTime.now()))
    return refuse('revoked_device', 'Device has been revoked')
  if (device.is_frozen) return refuse('frozen_user', 'User has been frozen by the server administrator')
  const flaw = flawOf(answer, device.verify_key, challenge, api_version)
  return flaw === undefined ? undefined : refuse('bad_protocol', flaw)
}

/** The context of commands that a device sends. */
export function authenticatedContext(
  { conn_id, api_version, release }: Pick<Hello, 'conn_id' | 'api_version' | 'release'>,
  organization_id: OrganizationID,
  { organization, is_sequestered }: OrganizationFacts,
  { user, user_id, device, device_id, profile, human_handle, verify_key }: DeviceFacts,
): Context {
  return {
    kind: 'authenticated',
    conn_id,
    api_version,
    release,
    organization_id,
    organization,
    is_sequestered,
    user_id,
    user,
    device_id,
    device,
    profile,
    human_handle,
    verify_key,
  }
}

/** What is wrong with a signed answer; the form is that of the version which the client announced. */
function flawOf(signed: Buffer, verify_key: Buffer, challenge: Buffer, api_version: ApiVersion): string | undefined {
  const message = openSigned(verify_key, signed)
  if (!message) return 'Invalid answer signature'
  if (!answersWithMap(api_version)) return message.equals(challenge) ? undefined : 'Invalid returned challenge'
  try {
    const answer = parse(signedAnswerSchema, decodeMap(message, STRANGER_MESSAGE))
    if (!answer.ok) return errorsText(answer.errors)
    return answer.value.answer.equals(challenge) ? undefined : 'Invalid returned challenge'
  } catch (error) {
    return `Invalid msgpack data: ${(error as Error).message}`
  }
}

async function invited(
  judge: Judge,
  hello: Hello,
  organization: Organization,
  { organization_id, token, invitation_type }: InvitedAnswer,
): Promise<Verdict> {
  const facts = await callInternal(
    judge.bus,
    'session_open_invited',
    { organization_id, token },
    { signal: hello.signal },
  )
  if (!facts.organization) return BAD_IDENTITY
  if (facts.organization.is_expired) return EXPIRED
  // Clients compare these two texts literally.
  if (facts.invitation?.is_deleted) return refuse('bad_identity', 'Invalid handshake: Invitation already deleted')
  if (!facts.invitation) return refuse('bad_identity', 'Invalid handshake: Invitation not found')
  if (facts.invitation.type !== invitation_type) return BAD_IDENTITY
  const { conn_id, api_version, release } = hello
  const context: Context = {
    kind: 'invited',
    conn_id,
    api_version,
    release,
    organization_id,
    organization: facts.organization.organization,
    invitation_type,
    token,
  }
  const { organization: key } = facts.organization
  // What is deleted from now on is heard, what was deleted since the facts were read is told by the first sign of life.
  const claimer = new Claimer(judge.bus, judge.log, organization, {
    organization_id,
    organization: key,
    token,
    conn_id,
  })
  return { accepted: { context, organization, session: null, claimer } }
}

async function anonymous(judge: Judge, hello: Hello, { organization_id, rvk }: AnonymousAnswer): Promise<Verdict> {
  const { organization } = await callInternal(
    judge.bus,
    'organization_find',
    { organization_id, create: true },
    { signal: hello.signal },
  )
  if (!organization) return BAD_IDENTITY
  if (organization.is_expired) {
    tellExpired(judge, organization_id)
    return EXPIRED
  }
  if (rvk && !organization.root_verify_key?.equals(rvk)) return RVK_MISMATCH
  const { conn_id, api_version, release } = hello
  return {
    accepted: {
      context: { kind: 'anonymous', conn_id, api_version, release, organization_id },
      organization: null,
      session: null,
    },
  }
}

async function administration(judge: Judge, hello: Hello, { token }: AdministrationAnswer): Promise<Verdict> {
  const { conn_id, address, api_version, release } = hello
  const verdict = judge.guard.check(token, address, performance.now())
  if (verdict === 'too_many') return refuse('bad_admin_token', 'Too many wrong administration tokens')
  // Its commands change things.
  if (verdict === 'refused' || !verdict.scopes.includes('write'))
    return refuse('bad_admin_token', 'Invalid administration token')
  return {
    accepted: { context: { kind: 'administration', conn_id, api_version, release }, organization: null, session: null },
  }
}

/** Nothing tells when an expiration date passes; the first attempt after it ends the sessions that are still open. */
function tellExpired(judge: Judge, organization_id: OrganizationID): void {
  callInternal(judge.bus, 'organization_expired', { organization_id }).catch(error =>
    judge.log.warning('Expiration not told', { organization_id, error }),
  )
}

/** An `errors` map as text for people. */
function errorsText(errors: Encodable): string {
  const plain = (value: Encodable | undefined): unknown =>
    value instanceof Map ? Object.fromEntries([...value].map(([k, v]) => [k, plain(v)])) : value
  return JSON.stringify(plain(errors))
}
