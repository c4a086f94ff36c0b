/** Organizations, devices and realms made the way a client makes them: signed certificates over the wire. */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { deflateSync } from 'node:zlib'
import { type Encodable, encode } from '@parsec/shared/codec/msgpack'
import { DateTime, Uuid } from '@parsec/shared/codec/values'
import { expectOk, type Identity, signingKeyOf, type Wire } from './client.ts'

type Requests = Pick<Wire, 'request'>
type KeyPair = { key: KeyObject; verify_key: Buffer }

function createKeyPair(): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  return { key: privateKey, verify_key: Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url') }
}

const toIdentity = (organization_id: string, device_id: string, root_verify_key: Buffer, key: KeyObject): Identity => ({
  organization_id,
  device_id,
  root_verify_key,
  signing_key: key.export({ format: 'der', type: 'pkcs8' }),
})

/** `signature ‖ zlib(msgpack(map))` (spec 01 §5.1). */
function certificate(key: KeyObject, fields: { readonly [field: string]: Encodable }): Buffer {
  const content = deflateSync(encode(fields))
  return Buffer.concat([sign(null, content, key), content])
}

/** Creates an organization with the administration API and bootstraps it as its first user, an ADMIN. */
export async function bootstrapOrganization(
  httpUrl: string,
  administrationToken: string,
  organization_id: string,
): Promise<Identity> {
  const created = await fetch(`${httpUrl}/administration/organizations`, {
    method: 'POST',
    headers: { authorization: `Bearer ${administrationToken}` },
    body: JSON.stringify({ organization_id }),
  })
  if (created.status !== 200) throw new Error(`organization not created: ${created.status} ${await created.text()}`)
  const { bootstrap_token } = (await created.json()) as { bootstrap_token: string }

  const [root, device] = [createKeyPair(), createKeyPair()]
  const device_id = 'author@bench'
  const timestamp = DateTime.now()
  const user_certificate = certificate(root.key, {
    type: 'user_certificate',
    author: null,
    timestamp,
    user_id: 'author',
    human_handle: null,
    public_key: randomBytes(32),
    is_admin: true,
    profile: 'ADMIN',
  })
  const device_certificate = certificate(root.key, {
    type: 'device_certificate',
    author: null,
    timestamp,
    device_id,
    device_label: null,
    verify_key: device.verify_key,
  })
  const reply = await fetch(`${httpUrl}/anonymous/${organization_id}`, {
    method: 'POST',
    headers: { 'content-type': 'application/msgpack', 'api-version': '3.4' },
    body: encode({
      cmd: 'organization_bootstrap',
      bootstrap_token,
      root_verify_key: root.verify_key,
      user_certificate,
      device_certificate,
      redacted_user_certificate: user_certificate,
      redacted_device_certificate: device_certificate,
      sequester_authority_certificate: null,
    }) as Uint8Array<ArrayBuffer>,
  })
  if (reply.status !== 200) throw new Error(`organization not bootstrapped: ${reply.status} ${await reply.text()}`)
  expectOk(Buffer.from(await reply.arrayBuffer()))
  return toIdentity(organization_id, device_id, root.verify_key, device.key)
}

/** Another device of the user that `wire` is connected as. */
export async function createDevice(wire: Requests, author: Identity, device_id: string): Promise<Identity> {
  const device = createKeyPair()
  const device_certificate = certificate(signingKeyOf(author), {
    type: 'device_certificate',
    author: author.device_id,
    timestamp: DateTime.now(),
    device_id,
    device_label: null,
    verify_key: device.verify_key,
  })
  await wire.request({ cmd: 'device_create', device_certificate, redacted_device_certificate: device_certificate })
  return toIdentity(author.organization_id, device_id, author.root_verify_key, device.key)
}

/** Another user; returns who the user's device is. */
export async function createUser(
  wire: Requests,
  author: Identity,
  user_id: string,
  profile: 'STANDARD' | 'ADMIN' = 'STANDARD',
): Promise<Identity> {
  const device = createKeyPair()
  const device_id = `${user_id}@bench`
  const common = { author: author.device_id, timestamp: DateTime.now() }
  const user_certificate = certificate(signingKeyOf(author), {
    type: 'user_certificate',
    ...common,
    user_id,
    human_handle: null,
    public_key: randomBytes(32),
    is_admin: profile === 'ADMIN',
    profile,
  })
  const device_certificate = certificate(signingKeyOf(author), {
    type: 'device_certificate',
    ...common,
    device_id,
    device_label: null,
    verify_key: device.verify_key,
  })
  await wire.request({
    cmd: 'user_create',
    user_certificate,
    device_certificate,
    redacted_user_certificate: user_certificate,
    redacted_device_certificate: device_certificate,
  })
  return toIdentity(author.organization_id, device_id, author.root_verify_key, device.key)
}

export async function revokeUser(wire: Requests, author: Identity, user_id: string): Promise<void> {
  const revoked_user_certificate = certificate(signingKeyOf(author), {
    type: 'revoked_user_certificate',
    author: author.device_id,
    timestamp: DateTime.now(),
    user_id,
  })
  await wire.request({ cmd: 'user_revoke', revoked_user_certificate })
}

/** Gives another user a role in a realm. */
export async function share(
  wire: Requests,
  author: Identity,
  { realm_id, user_id, role }: { realm_id: Uuid; user_id: string; role: string },
): Promise<void> {
  const timestamp = DateTime.now()
  const role_certificate = certificate(signingKeyOf(author), {
    type: 'realm_role_certificate',
    author: author.device_id,
    timestamp,
    realm_id,
    user_id,
    role,
  })
  await wire.request({ cmd: 'realm_update_roles', role_certificate, recipient_message: randomBytes(100) })
}

/** A realm of which the user of `author` is the owner; returns its id. */
export async function createRealm(wire: Requests, author: Identity): Promise<Uuid> {
  const realm_id = Uuid.random()
  const role_certificate = certificate(signingKeyOf(author), {
    type: 'realm_role_certificate',
    author: author.device_id,
    timestamp: DateTime.now(),
    realm_id,
    user_id: author.device_id.slice(0, author.device_id.indexOf('@')),
    role: 'OWNER',
  })
  await wire.request({ cmd: 'realm_create', role_certificate })
  return realm_id
}

/** The first version of a new vlob; returns its id. */
export async function createVlob(wire: Requests, realm_id: Uuid, blob: Buffer): Promise<Uuid> {
  const vlob_id = Uuid.random()
  await wire.request({
    cmd: 'vlob_create',
    realm_id,
    encryption_revision: 1,
    vlob_id,
    timestamp: DateTime.now(),
    blob,
    sequester_blob: null,
  })
  return vlob_id
}
