/** What the certificates of a new user or device must satisfy (spec 03 §3, 01 §5.6); first failing line wins. */
import {
  type Certificate,
  loadCertificate,
  redactsDevice,
  redactsUser,
  type Signer,
} from '@parsec/shared/certificates/certificate'
import type { DateTime } from '@parsec/shared/codec/values'
import { isInBallpark } from '@parsec/shared/protocol/ballpark'
import { type UserID, userOf } from '@parsec/shared/protocol/types'

/** A user's or device's certificates as sent; null where an old client sends no redacted one. */
export type UserCertificates = {
  user_certificate: Buffer
  device_certificate: Buffer
  redacted_user_certificate: Buffer
  redacted_device_certificate: Buffer
}

/** Certificates that passed, with what they say. */
export type NewUser = UserCertificates & {
  user: Certificate<'user_certificate'>
  device: Certificate<'device_certificate'>
}
export type NewDevice = Pick<UserCertificates, 'device_certificate' | 'redacted_device_certificate'> & {
  device: Certificate<'device_certificate'>
}

type Refused<S extends string> = { ok: false; refusal: { status: S; reason: string } }
const refuse = <const S extends string>(status: S, reason: string): Refused<S> => ({
  ok: false,
  refusal: { status, reason },
})

/** V-USER: a user with a first device. */
export function checkNewUser(
  sent: UserCertificates,
  signer: Signer,
  now: DateTime,
): { ok: true; value: NewUser } | Refused<'invalid_certification' | 'invalid_data'> {
  const loaded = loadNewUser(sent, signer)
  if (!loaded.ok) return loaded
  const { user, device, redacted_user, redacted_device } = loaded
  if (!user.timestamp.equals(device.timestamp))
    return refuse('invalid_data', 'Device and User certificates must have the same timestamp.')
  if (!isInBallpark(user.timestamp, now)) return refuse('invalid_certification', 'Invalid timestamp in certificate.')
  if (userOf(device.device_id) !== user.user_id)
    return refuse('invalid_data', 'Device and User must have the same user ID.')
  return (
    redactionRefusal(user, redacted_user, device, redacted_device) ?? { ok: true, value: { ...sent, user, device } }
  )
}

/** The four certificates of a new user, each by the signer. */
export function loadNewUser(sent: UserCertificates, signer: Signer) {
  const device = loadCertificate('device_certificate', sent.device_certificate, signer)
  if (!device.ok) return refuse('invalid_certification', device.reason)
  const user = loadCertificate('user_certificate', sent.user_certificate, signer)
  if (!user.ok) return refuse('invalid_certification', user.reason)
  const redacted_user = loadCertificate('user_certificate', sent.redacted_user_certificate, signer)
  if (!redacted_user.ok) return refuse('invalid_certification', redacted_user.reason)
  const redacted_device = loadCertificate('device_certificate', sent.redacted_device_certificate, signer)
  if (!redacted_device.ok) return refuse('invalid_certification', redacted_device.reason)
  return {
    ok: true as const,
    user: user.certificate,
    device: device.certificate,
    redacted_user: redacted_user.certificate,
    redacted_device: redacted_device.certificate,
  }
}

export function redactionRefusal(
  user: Certificate<'user_certificate'>,
  redacted_user: Certificate<'user_certificate'>,
  device: Certificate<'device_certificate'>,
  redacted_device: Certificate<'device_certificate'>,
) {
  if (!redactsUser(redacted_user, user))
    return refuse('invalid_data', 'Redacted User certificate differs from User certificate.')
  if (redacted_user.human_handle !== null)
    return refuse('invalid_data', 'Redacted User certificate must not contain a human_handle field.')
  return deviceRedactionRefusal(device, redacted_device)
}

function deviceRedactionRefusal(
  device: Certificate<'device_certificate'>,
  redacted: Certificate<'device_certificate'>,
) {
  if (!redactsDevice(redacted, device))
    return refuse('invalid_data', 'Redacted Device certificate differs from Device certificate.')
  if (redacted.device_label !== null)
    return refuse('invalid_data', 'Redacted Device certificate must not contain a device_label field.')
  return undefined
}

/**
 * V-DEVICE: a further device of the signer's own user. Redacted null: the client sends none. API v1 looks at the label
 * before the user, later releases after it (spec 03 §3.3).
 */
export function checkNewDevice(
  sent: { device_certificate: Buffer; redacted_device_certificate: Buffer | null },
  signer: Signer,
  user_id: UserID,
  now: DateTime,
  order: 'user first' | 'label first' = 'user first',
): { ok: true; value: NewDevice } | Refused<'invalid_certification' | 'invalid_data' | 'bad_user_id'> {
  const redacted_device_certificate = sent.redacted_device_certificate ?? sent.device_certificate
  const device = loadCertificate('device_certificate', sent.device_certificate, signer)
  if (!device.ok) return refuse('invalid_certification', device.reason)
  const redacted = loadCertificate('device_certificate', redacted_device_certificate, signer)
  if (!redacted.ok) return refuse('invalid_certification', redacted.reason)
  if (!isInBallpark(device.certificate.timestamp, now))
    return refuse('invalid_certification', 'Invalid timestamp in certification.')
  const wrongUser =
    userOf(device.certificate.device_id) === user_id
      ? undefined
      : refuse('bad_user_id', 'Device must be handled by it own user.')
  const wrongRedaction = deviceRedactionRefusal(device.certificate, redacted.certificate)
  const refusal = order === 'user first' ? (wrongUser ?? wrongRedaction) : (wrongRedaction ?? wrongUser)
  if (refusal) return refusal
  const { device_certificate } = sent
  return { ok: true, value: { device_certificate, redacted_device_certificate, device: device.certificate } }
}
