/**
 * The RSA side of sequester (spec 05 §14.2, 06 §6.5): keys, the certificate by which an authority makes a service known,
 * and what is encrypted for a service. `RSASSA-PSS-SHA256:` and `RSAES-OAEP-XSALSA20-POLY1305:` announce the algorithm.
 */
import { constants, createPrivateKey, createPublicKey, type KeyObject, privateDecrypt, sign, verify } from 'node:crypto'
import { deflateSync } from 'node:zlib'
import { z } from 'zod'
import { bytes, constant, dateTime, parse, text, uuid } from '../codec/fields.ts'
import { encode } from '../codec/msgpack.ts'
import { limits } from '../limits.ts'
import { inflateMap } from './certificate.ts'
import { openSecretBox } from './crypto.ts'

const SIGNED = Buffer.from('RSASSA-PSS-SHA256:')
const ENCRYPTED = Buffer.from('RSAES-OAEP-XSALSA20-POLY1305:')
/** The only one that clients of the first releases verify; other tools sign with longer ones. */
const SALT_BYTES = 32

const schema = z.object({
  type: constant('sequester_service_certificate'),
  timestamp: dateTime(),
  service_id: uuid(),
  service_label: text({ maxBytes: limits.device_label.value }),
  encryption_key_der: bytes(),
})
export type ServiceCertificate = Omit<z.infer<typeof schema>, 'type'>

/** Makes a service known in the name of the authority whose private key this is. */
export function signServiceCertificate(authority: KeyObject, fields: ServiceCertificate): Buffer {
  const content = deflateSync(encode({ type: 'sequester_service_certificate', ...fields }))
  const padding = constants.RSA_PKCS1_PSS_PADDING
  const signature = sign('sha256', content, { key: authority, padding, saltLength: SALT_BYTES })
  return Buffer.concat([SIGNED, signature, content])
}

/** Verifies the signature by the authority (whatever its salt) and reads the content; undefined when either fails. */
export function loadServiceCertificate(authority: KeyObject, certificate: Buffer): ServiceCertificate | undefined {
  const size = keyBytes(authority)
  if (!startsWith(certificate, SIGNED) || certificate.length < SIGNED.length + size) return undefined
  const signature = certificate.subarray(SIGNED.length, SIGNED.length + size)
  const content = certificate.subarray(SIGNED.length + size)
  const padding = constants.RSA_PKCS1_PSS_PADDING
  if (!verify('sha256', content, { key: authority, padding, saltLength: constants.RSA_PSS_SALTLEN_AUTO }, signature))
    return undefined
  const fields = inflateMap(content, limits.certificate.value)
  const parsed = fields && parse(schema, fields)
  if (!parsed?.ok || !publicKeyFromDer(parsed.value.encryption_key_der)) return undefined
  const { type: _, ...value } = parsed.value
  return value
}

/** Opens what was encrypted for a service; undefined when it is damaged or meant for another key. */
export function decryptForService(service: KeyObject, encrypted: Buffer): Buffer | undefined {
  const size = keyBytes(service)
  if (!startsWith(encrypted, ENCRYPTED) || encrypted.length < ENCRYPTED.length + size) return undefined
  const wrapped = encrypted.subarray(ENCRYPTED.length, ENCRYPTED.length + size)
  try {
    const key = privateDecrypt({ key: service, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' }, wrapped)
    return openSecretBox(key, encrypted.subarray(ENCRYPTED.length + size))
  } catch {
    return undefined
  }
}

const startsWith = (whole: Buffer, start: Buffer): boolean => whole.subarray(0, start.length).equals(start)
const keyBytes = (key: KeyObject): number => Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8)

// Key files

/** An RSA public key, PEM or DER; undefined when it is none. */
export const readPublicKey = (file: Buffer): KeyObject | undefined =>
  firstRsaKey([
    () => createPublicKey(file),
    () => createPublicKey({ key: file, format: 'der', type: 'spki' }),
    () => createPublicKey({ key: file, format: 'der', type: 'pkcs1' }),
  ])
/** An RSA private key, PEM or DER, without passphrase; undefined when it is none. */
export const readPrivateKey = (file: Buffer): KeyObject | undefined =>
  firstRsaKey([
    () => createPrivateKey(file),
    () => createPrivateKey({ key: file, format: 'der', type: 'pkcs8' }),
    () => createPrivateKey({ key: file, format: 'der', type: 'pkcs1' }),
  ])
/** An RSA public key as certificates have it. */
export const publicKeyFromDer = (der: Buffer): KeyObject | undefined =>
  firstRsaKey([() => createPublicKey({ key: der, format: 'der', type: 'spki' })])
export const publicKeyToDer = (key: KeyObject): Buffer => key.export({ type: 'spki', format: 'der' })

function firstRsaKey(attempts: readonly (() => KeyObject)[]): KeyObject | undefined {
  for (const attempt of attempts) {
    try {
      const key = attempt()
      if (key.asymmetricKeyType === 'rsa') return key
    } catch {
      // Of another form.
    }
  }
  return undefined
}

// Certificate files

const BEGIN = '-----BEGIN PARSEC SEQUESTER SERVICE CERTIFICATE-----'
const END = '-----END PARSEC SEQUESTER SERVICE CERTIFICATE-----'

/** A certificate as a file: base64 in lines of 64 columns between two marks. */
export const armorCertificate = (certificate: Buffer): string =>
  [BEGIN, ...(certificate.toString('base64').match(/.{1,64}/g) ?? []), END, ''].join('\n')

/** The certificate in such a file; undefined when there is none. */
export function unarmorCertificate(file: string): Buffer | undefined {
  const lines = file.trim().split(/\s*\n\s*/)
  const base64 = lines.slice(1, -1).join('')
  if (lines[0] !== BEGIN || lines.at(-1) !== END || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return undefined
  return Buffer.from(base64, 'base64')
}
