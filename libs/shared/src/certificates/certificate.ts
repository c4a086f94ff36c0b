/**
 * Signed certificates (spec 01 §5): `signature ‖ zlib(msgpack(map))`. They are verified and read, stored and returned
 * verbatim, never re-encoded.
 */
import { inflateSync } from 'node:zlib'
import { z } from 'zod'
import {
  bool,
  bytes,
  constant,
  dateTime,
  deviceId,
  deviceLabel,
  enumeration,
  type HumanHandle,
  humanHandle,
  int,
  key,
  mapOf,
  nullable,
  parse,
  requiredNullable,
  struct,
  userId,
  uuid,
} from '../codec/fields.ts'
import { CLIENT_MESSAGE, decodeMap, MalformedMessage } from '../codec/msgpack.ts'
import type { DateTime } from '../codec/values.ts'
import { limits } from '../limits.ts'
import { type DeviceID, REALM_ROLES, USER_PROFILES, type UserProfile } from '../protocol/types.ts'
import { openSigned } from './crypto.ts'

const author = () => requiredNullable(deviceId())
const signed = { timestamp: dateTime() }

const userCertificate = <H>(human_handle: z.ZodType<H>) =>
  z
    .object({
      type: constant('user_certificate'),
      author: author(),
      ...signed,
      user_id: userId(),
      human_handle,
      public_key: key(),
      is_admin: bool(),
      profile: enumeration(USER_PROFILES).optional(),
    })
    .refine(c => !(c.is_admin && c.profile !== undefined && c.profile !== 'ADMIN'), 'is_admin contradicts profile')
    .transform(c => ({ ...c, profile: c.profile ?? ((c.is_admin ? 'ADMIN' : 'STANDARD') as UserProfile) }))
const deviceCertificate = <L>(device_label: z.ZodType<L>) =>
  z.object({
    type: constant('device_certificate'),
    author: author(),
    ...signed,
    device_id: deviceId(),
    device_label,
    verify_key: key(),
  })

const schemas = {
  user_certificate: userCertificate(nullable(humanHandle())),
  device_certificate: deviceCertificate(nullable(deviceLabel())),
  revoked_user_certificate: z.object({
    type: constant('revoked_user_certificate'),
    author: author(),
    ...signed,
    user_id: userId(),
  }),
  realm_role_certificate: z.object({
    type: constant('realm_role_certificate'),
    author: author(),
    ...signed,
    realm_id: uuid(),
    user_id: userId(),
    role: requiredNullable(enumeration(REALM_ROLES)),
  }),
  sequester_authority_certificate: z.object({
    type: constant('sequester_authority_certificate'),
    author: author(),
    ...signed,
    verify_key_der: bytes(),
  }),
  realm_archiving_certificate: z.object({
    type: constant('realm_archiving_certificate'),
    author: author(),
    ...signed,
    realm_id: uuid(),
    configuration: z.union([
      struct({ type: enumeration(['AVAILABLE', 'ARCHIVED']) }),
      struct({
        type: constant('DELETION_PLANNED'),
        deletion_date: dateTime(),
      }),
    ]),
  }),
  shamir_recovery_brief_certificate: z.object({
    type: constant('shamir_recovery_brief_certificate'),
    author: author(),
    ...signed,
    threshold: int({ min: 1 }),
    per_recipient_shares: mapOf(userId(), int({ min: 1 }), { max: limits.shamir_shares.value }),
  }),
  shamir_recovery_share_certificate: z.object({
    type: constant('shamir_recovery_share_certificate'),
    author: author(),
    ...signed,
    recipient: userId(),
    ciphered_share: bytes(),
  }),
}

/** Labels were any text before v2.7, emails needed no @ before v2.12: what is stored may be so (spec 01 §3.1). */
const storedSchemas = {
  ...schemas,
  user_certificate: userCertificate(z.unknown().optional()),
  device_certificate: deviceCertificate(z.unknown().optional()),
}

export type CertificateType = keyof typeof schemas

/** Longest inflated form. */
const maxBytes = (type: CertificateType): number =>
  type.startsWith('shamir_') ? limits.large_certificate.value : limits.certificate.value
export type Certificate<T extends CertificateType> = z.infer<(typeof schemas)[T]>

/** The signer that a certificate must have: a device, or the organization's root key (`author` null). */
export type Signer = { author: DeviceID | null; verify_key: Buffer }

export type Loaded<T extends CertificateType> =
  | { ok: true; certificate: Certificate<T> }
  | { ok: false; reason: string }

/**
 * Verifies the signature, inflates, decodes, checks type and fields, and that the author is exactly the signer
 * (spec 01 §5.4). `reason` is the text of the `invalid_certification` reply; it never contains the word that makes
 * some clients doubt their clock (spec 01 §8.4).
 */
export const loadCertificate = <T extends CertificateType>(type: T, bytes: Buffer, signer: Signer): Loaded<T> =>
  load(schemas[type] as unknown as z.ZodType<Certificate<T>>, type, bytes, signer)

/** The same of a certificate that a released server accepted, whose handle or label none may have any more. */
export const loadStored = <T extends CertificateType>(type: T, bytes: Buffer, signer: Signer) =>
  load(storedSchemas[type] as unknown as z.ZodType<StoredCertificate<T>>, type, bytes, signer)
type StoredCertificate<T extends CertificateType> = Omit<Certificate<T>, 'human_handle' | 'device_label'> & {
  author: DeviceID | null
}

function load<C extends { author: DeviceID | null }>(
  schema: z.ZodType<C>,
  type: CertificateType,
  bytes: Buffer,
  signer: Signer,
): { ok: true; certificate: C } | { ok: false; reason: string } {
  const payload = openSigned(signer.verify_key, bytes)
  if (!payload) return invalid('Signature was forged or corrupt')
  const fields = inflateMap(payload, maxBytes(type))
  const parsed = fields && parse(schema, fields)
  if (!parsed?.ok) return invalid('Invalid content')
  if (parsed.value.author !== signer.author) return invalid('Invalid author')
  return { ok: true, certificate: parsed.value }
}

/** A zlib stream with a msgpack map of at most `maxOutputLength` bytes; undefined when it is none. */
export function inflateMap(deflated: Buffer, maxOutputLength: number): ReturnType<typeof decodeMap> | undefined {
  try {
    return decodeMap(inflateSync(deflated, { maxOutputLength }), CLIENT_MESSAGE)
  } catch (error) {
    if (error instanceof MalformedMessage || isZlibError(error)) return undefined
    throw error
  }
}
const isZlibError = (error: unknown): boolean =>
  error instanceof Error && /^(Z_|ERR_BUFFER_TOO_LARGE|ERR_OUT_OF_RANGE)/.test((error as { code?: string }).code ?? '')

const invalid = (detail: string): { ok: false; reason: string } => ({
  ok: false,
  reason: `Invalid certification data (${detail}).`,
})

type User = Certificate<'user_certificate'>
type Device = Certificate<'device_certificate'>

/** Whether a redacted user certificate says what the full one says, but for the handle (spec 01 §5.3). */
export const redactsUser = (redacted: User, full: User): boolean =>
  redacted.author === full.author &&
  sameInstant(redacted.timestamp, full.timestamp) &&
  redacted.user_id === full.user_id &&
  redacted.profile === full.profile &&
  redacted.public_key.equals(full.public_key)

/** The same for a device and its label. */
export const redactsDevice = (redacted: Device, full: Device): boolean =>
  redacted.author === full.author &&
  sameInstant(redacted.timestamp, full.timestamp) &&
  redacted.device_id === full.device_id &&
  redacted.verify_key.equals(full.verify_key)

const sameInstant = (a: DateTime, b: DateTime): boolean => a.equals(b)

export type { HumanHandle }
