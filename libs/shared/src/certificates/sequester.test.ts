import assert from 'node:assert/strict'
import { constants, generateKeyPairSync, publicEncrypt, randomBytes, sign } from 'node:crypto'
import { test } from 'node:test'
import { deflateSync } from 'node:zlib'
import sodium from 'sodium-native'
import { encode } from '../codec/msgpack.ts'
import { DateTime, Uuid } from '../codec/values.ts'
import {
  armorCertificate,
  decryptForService,
  loadServiceCertificate,
  publicKeyToDer,
  readPrivateKey,
  readPublicKey,
  signServiceCertificate,
  unarmorCertificate,
} from './sequester.ts'

const authority = generateKeyPairSync('rsa', { modulusLength: 2048 })
const service = generateKeyPairSync('rsa', { modulusLength: 2048 })
const fields = {
  timestamp: new DateTime(1_700_000_000_123_456),
  service_id: Uuid.random(),
  service_label: 'Séquestre',
  encryption_key_der: publicKeyToDer(service.publicKey),
}
const PREFIX = 'RSASSA-PSS-SHA256:'
const pss = (content: Buffer, saltLength: number) => {
  const key = { key: authority.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength }
  return Buffer.concat([Buffer.from(PREFIX), sign('sha256', content, key), content])
}

test('a service certificate is prefix, signature of the size of the key, content; it is read back (05-data §14.2)', () => {
  const certificate = signServiceCertificate(authority.privateKey, fields)
  assert.ok(certificate.toString('latin1').startsWith(PREFIX))
  assert.equal(certificate[PREFIX.length + 256], 0x78, 'zlib')
  assert.deepEqual(loadServiceCertificate(authority.publicKey, certificate), fields)
})

test('any salt length is accepted', () => {
  const content = deflateSync(encode({ type: 'sequester_service_certificate', ...fields }))
  for (const saltLength of [0, 20, 32, 222])
    assert.deepEqual(loadServiceCertificate(authority.publicKey, pss(content, saltLength)), fields, `${saltLength}`)
})

test('another authority, a changed byte, a cut and content of another kind are refused', () => {
  const certificate = signServiceCertificate(authority.privateKey, fields)
  assert.equal(loadServiceCertificate(service.publicKey, certificate), undefined)
  for (const at of [0, PREFIX.length, PREFIX.length + 255, certificate.length - 1]) {
    const changed = Buffer.from(certificate)
    changed[at]! ^= 1
    assert.equal(loadServiceCertificate(authority.publicKey, changed), undefined, `byte ${at}`)
  }
  for (const length of [0, 10, PREFIX.length, PREFIX.length + 256, certificate.length - 1])
    assert.equal(loadServiceCertificate(authority.publicKey, certificate.subarray(0, length)), undefined, `${length}`)
  const contents = [
    deflateSync(encode({ type: 'sequester_authority_certificate', ...fields })),
    deflateSync(encode({ type: 'sequester_service_certificate', ...fields, encryption_key_der: randomBytes(50) })),
    deflateSync(encode({ type: 'sequester_service_certificate', ...fields, service_label: 1 })),
    randomBytes(100),
  ]
  for (const content of contents) assert.equal(loadServiceCertificate(authority.publicKey, pss(content, 32)), undefined)
})

test('a certificate file has lines of 64 columns and is read back, with the line ends of any system', () => {
  const certificate = signServiceCertificate(authority.privateKey, fields)
  const file = armorCertificate(certificate)
  const lines = file.split('\n')
  assert.equal(lines[0], '-----BEGIN PARSEC SEQUESTER SERVICE CERTIFICATE-----')
  assert.deepEqual(lines.slice(-2), ['-----END PARSEC SEQUESTER SERVICE CERTIFICATE-----', ''])
  assert.ok(lines.slice(1, -3).every(line => line.length === 64))
  assert.deepEqual(unarmorCertificate(file), certificate)
  assert.deepEqual(unarmorCertificate(file.replaceAll('\n', '\r\n')), certificate)
  for (const other of [
    '',
    'x',
    lines.slice(1).join('\n'),
    file.replace('BEGIN', 'Begin'),
    file.replace(lines[2]!, '?'),
  ])
    assert.equal(unarmorCertificate(other), undefined)
})

test('keys are read from PEM and DER; other keys are refused', () => {
  for (const type of ['spki', 'pkcs1'] as const) {
    assert.ok(readPublicKey(Buffer.from(service.publicKey.export({ type, format: 'pem' })))?.equals(service.publicKey))
    assert.ok(readPublicKey(service.publicKey.export({ type, format: 'der' }))?.equals(service.publicKey))
  }
  for (const type of ['pkcs8', 'pkcs1'] as const) {
    const pem = Buffer.from(service.privateKey.export({ type, format: 'pem' }))
    assert.ok(readPrivateKey(pem)?.equals(service.privateKey))
    assert.ok(readPrivateKey(service.privateKey.export({ type, format: 'der' }))?.equals(service.privateKey))
  }
  const ed25519 = generateKeyPairSync('ed25519')
  assert.equal(readPublicKey(Buffer.from(ed25519.publicKey.export({ type: 'spki', format: 'pem' }))), undefined)
  assert.equal(readPrivateKey(Buffer.from('no key')), undefined)
})

test('what is encrypted for a service is opened by its key alone', () => {
  const secret = randomBytes(300)
  const encrypted = encryptForService(secret)
  assert.deepEqual(decryptForService(service.privateKey, encrypted), secret)
  assert.equal(decryptForService(authority.privateKey, encrypted), undefined)
  for (const at of [0, 40, encrypted.length - 1]) {
    const changed = Buffer.from(encrypted)
    changed[at]! ^= 1
    assert.equal(decryptForService(service.privateKey, changed), undefined, `byte ${at}`)
  }
  for (const length of [0, 29, 285, 300])
    assert.equal(decryptForService(service.privateKey, encrypted.subarray(0, length)), undefined)
})

function encryptForService(message: Buffer): Buffer {
  const key = randomBytes(32)
  const nonce = randomBytes(24)
  const box = Buffer.alloc(message.length + 16)
  sodium.crypto_secretbox_easy(box, message, nonce, key)
  const padding = constants.RSA_PKCS1_OAEP_PADDING
  const wrapped = publicEncrypt({ key: service.publicKey, padding, oaepHash: 'sha1' }, key)
  return Buffer.concat([Buffer.from('RSAES-OAEP-XSALSA20-POLY1305:'), wrapped, nonce, box])
}
