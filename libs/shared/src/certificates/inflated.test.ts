/** What a compressed text may become: a few bytes of a stranger must not turn into megabytes of work. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deflateSync } from 'node:zlib'
import sodium from 'sodium-native'
import { type Encodable, encode } from '../codec/msgpack.ts'
import { DateTime, Uuid } from '../codec/values.ts'
import { type CertificateType, loadCertificate } from './certificate.ts'
import { payloadFlaw } from './enrollment-payload.ts'
import { readManifest } from './manifest.ts'

const verify_key = Buffer.alloc(32)
const secret_key = Buffer.alloc(64)
sodium.crypto_sign_keypair(verify_key, secret_key)
const signer = { author: 'alice@dev1', verify_key }

function sign(fields: { [field: string]: Encodable }): Buffer {
  const content = deflateSync(encode(fields))
  const signature = Buffer.alloc(64)
  sodium.crypto_sign_detached(signature, content, secret_key)
  return Buffer.concat([signature, content])
}
const signed = { author: 'alice@dev1', timestamp: new DateTime(0) }
const device = { ...signed, device_id: 'alice@dev2', device_label: 'My PC', verify_key }
const share = { ...signed, recipient: 'bob', ciphered_share: Buffer.alloc(1) }

test('an inflated certificate is bounded by its kind', () => {
  const kinds: readonly (readonly [CertificateType, { [field: string]: Encodable }, number])[] = [
    ['device_certificate', device, 16_384],
    ['shamir_recovery_share_certificate', share, 131_072],
  ]
  for (const [type, fields, max] of kinds) {
    const padded = (length: number) => sign({ type, ...fields, padding: 'x'.repeat(length) })
    assert.ok(loadCertificate(type, padded(max - 1000), signer).ok, type)
    assert.ok(!loadCertificate(type, padded(max), signer).ok, type)
  }
  const payload = { requested_device_label: 'PC', verify_key, public_key: verify_key }
  const submit = (length: number) =>
    deflateSync(encode({ type: 'pki_enrollment_submit_payload', ...payload, padding: 'x'.repeat(length) }))
  assert.equal(payloadFlaw('pki_enrollment_submit_payload', submit(15_000)), undefined)
  assert.notEqual(payloadFlaw('pki_enrollment_submit_payload', submit(16_384)), undefined)
})

test('a label that inflates is refused without being normalised', t => {
  const normalize = t.mock.method(String.prototype, 'normalize')
  const label = `a${'\u0307\u0323'.repeat(250_000)}`
  const certificate = sign({ type: 'device_certificate', ...device, device_label: label })
  assert.ok(certificate.length < 2500, `${certificate.length} bytes`)
  assert.ok(!loadCertificate('device_certificate', certificate, signer).ok)
  for (const { this: text } of normalize.mock.calls) assert.ok(String(text).length <= 4 * 255)
})

test('a manifest of many blocks is read', () => {
  const id = Uuid.random()
  const block = { id, key: verify_key, offset: 0, size: 524_288, digest: Buffer.alloc(32) }
  const manifest = sign({
    type: 'file_manifest',
    author: 'alice@dev1',
    id,
    version: 1,
    size: 0,
    blocks: Array(120_000).fill(block),
  })
  const read = readManifest(manifest, { device_id: 'alice@dev1', verify_key }, { id, version: 1 })
  assert.equal(read?.type === 'file_manifest' && read.blocks.length, 120_000)
})
