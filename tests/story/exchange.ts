/** Both sides of an enrollment by invitation, as real clients play them (04-invite §8), and the points at which one can be disturbed. */
import assert from 'node:assert/strict'
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto'
import {
  type Connection,
  type Context,
  Device,
  pack,
  type Reply,
  SigningKey,
  type Uuid,
  unpack,
} from '../harness/client.ts'

export type InvitationType = 'USER' | 'DEVICE'
export type Api = readonly [number, number]
/** `4` carries the claimer's keys, `4 again` what the greeter has made of them. */
export type Step = '1' | '2a' | '2b' | '3a' | '3b' | '4' | '4 again'
export const STEPS: readonly Step[] = ['1', '2a', '2b', '3a', '3b', '4', '4 again']

/** A step lasts until the peer does it, and the peer may be a gateway's restart away. */
const STEP_MS = 60_000
const NONCE_BYTES = 64
const EMPTY = Buffer.alloc(0)

/** The peer has started again: so must this side. */
export class PeerReset extends Error {}

/** Called when a side is about to do a step; `send` only sends the step's command. */
export type BeforeStep = (step: Step, send: () => void) => Promise<void>

/** One side of the exchange, on one connection after another. */
export class Peer {
  readonly #open: () => Promise<Connection>
  readonly #fields: { readonly [field: string]: unknown }
  #connection: Connection | undefined
  before: BeforeStep | undefined

  /** `fields` are in each command of the side. */
  constructor(open: () => Promise<Connection>, fields: { readonly [field: string]: unknown } = {}) {
    this.#open = open
    this.#fields = fields
  }
  get connection(): Connection {
    assert.ok(this.#connection, 'connected')
    return this.#connection
  }
  async connect(): Promise<this> {
    this.#connection = await this.#open()
    return this
  }
  /** The reply of a step's command. Throws `PeerReset` when the peer has started again. */
  async step(step: Step, cmd: string, fields: { readonly [field: string]: unknown } = {}): Promise<Reply> {
    const request = { ...this.#fields, ...fields }
    await this.before?.(step, () => this.connection.send(pack({ cmd, ...request })))
    const reply = await this.connection.cmd(cmd, request, STEP_MS)
    if (reply.status === 'invalid_state') throw new PeerReset(cmd)
    assert.equal(reply.status, 'ok', `${cmd} answered ${reply.status}`)
    return reply
  }
}

/** Plays from the first step again for as long as the peer resets. */
export async function untilDone<T>(play: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await play()
    } catch (error) {
      if (!(error instanceof PeerReset)) throw error
    }
  }
}

export type Greeter = {
  peer: Peer
  author: Device
  token: Uuid
  type: InvitationType
  client: Context
  /** A user that was made for a claimer who never heard of it. */
  halfway?: string
}

/** The greeter's part, once. Returns the device id that was enrolled. */
export async function greet(greeter: Greeter): Promise<string> {
  const { peer, author, token, type } = greeter
  const key = generateKeyPairSync('x25519')
  const first = await peer.step('1', 'invite_1_greeter_wait_peer', { greeter_public_key: rawKey(key.publicKey) })
  const { claimer_hashed_nonce } = await peer.step('2a', 'invite_2a_greeter_get_hashed_nonce')
  const greeter_nonce = randomBytes(NONCE_BYTES)
  const { claimer_nonce } = await peer.step('2b', 'invite_2b_greeter_send_nonce', { greeter_nonce })
  assert.ok(sha256(claimer_nonce).equals(claimer_hashed_nonce), 'the nonce is the one of the hash')
  const secret = agreement(key.privateKey, first.claimer_public_key, claimer_nonce, greeter_nonce)
  await peer.step('3a', 'invite_3a_greeter_wait_peer_trust')
  await peer.step('3b', 'invite_3b_greeter_signify_trust')
  const { payload } = await peer.step('4', 'invite_4_greeter_communicate', { payload: EMPTY })
  const device = await enroll(greeter, unpack(unseal(secret, payload)))
  const { device_id, profile } = device
  const confirmation = {
    type: `invite_${type.toLowerCase()}_confirmation`,
    device_id,
    profile,
    root_verify_key: author.rvk,
  }
  const last = await peer.step('4 again', 'invite_4_greeter_communicate', {
    payload: seal(secret, pack(confirmation)),
  })
  assert.equal(last.payload.length, 0)
  await peer.connection.ok('invite_delete', { token, reason: 'FINISHED' })
  return device_id
}

async function enroll(greeter: Greeter, data: Reply): Promise<Device> {
  const { peer, author, type, client } = greeter
  assert.equal(data.type, `invite_${type.toLowerCase()}_data`)
  const name = `d${randomBytes(6).toString('hex')}`
  const claimed = { key: { verify: Buffer.from(data.verify_key) } }
  if (type === 'DEVICE') {
    const device = Object.assign(
      new Device(author.org, author.rvk, author.user_id, name, { profile: author.profile }),
      claimed,
    )
    await peer.connection.ok('device_create', device.deviceCertificates(author.device_id, author.key))
    return device
  }
  if (greeter.halfway) assert.equal((await client.revoke(peer.connection, author, greeter.halfway)).status, 'ok')
  const [email, label] = data.requested_human_handle
  const user = Object.assign(
    new Device(author.org, author.rvk, `u${randomBytes(6).toString('hex')}`, name, { email, label }),
    claimed,
    { public_key: Buffer.from(data.public_key) },
  )
  await peer.connection.ok('user_create', user.certificates(author.device_id, author.key))
  greeter.halfway = user.user_id
  return user
}

/** The claimer's part, once. Returns its new device. */
export async function claim(peer: Peer, organization: string, type: InvitationType, email: string): Promise<Device> {
  const key = generateKeyPairSync('x25519')
  const first = await peer.step('1', 'invite_1_claimer_wait_peer', { claimer_public_key: rawKey(key.publicKey) })
  const claimer_nonce = randomBytes(NONCE_BYTES)
  const { greeter_nonce } = await peer.step('2a', 'invite_2a_claimer_send_hashed_nonce', {
    claimer_hashed_nonce: sha256(claimer_nonce),
  })
  await peer.step('2b', 'invite_2b_claimer_send_nonce', { claimer_nonce })
  const secret = agreement(key.privateKey, first.greeter_public_key, claimer_nonce, greeter_nonce)
  await peer.step('3a', 'invite_3a_claimer_signify_trust')
  await peer.step('3b', 'invite_3b_claimer_wait_peer_trust')
  const signing = new SigningKey()
  const common = { requested_device_label: 'My laptop', verify_key: signing.verify }
  const data =
    type === 'USER'
      ? { type: 'invite_user_data', ...common, requested_human_handle: [email, 'Zack'], public_key: randomBytes(32) }
      : { type: 'invite_device_data', ...common }
  const { payload } = await peer.step('4', 'invite_4_claimer_communicate', { payload: seal(secret, pack(data)) })
  assert.equal(payload.length, 0)
  const last = await peer.step('4 again', 'invite_4_claimer_communicate', { payload: EMPTY })
  const { device_id, profile, root_verify_key } = unpack(unseal(secret, last.payload))
  const [user_id, name] = device_id.split('@')
  return Object.assign(new Device(organization, Buffer.from(root_verify_key), user_id, name, { profile }), {
    key: signing,
  })
}

/** What both sides know after the nonces; a payload opens only when every byte was relayed as it was sent. */
function agreement(mine: KeyObject, theirs: Uint8Array, claimer_nonce: Uint8Array, greeter_nonce: Uint8Array): Buffer {
  const publicKey = createPublicKey({
    key: { kty: 'OKP', crv: 'X25519', x: Buffer.from(theirs).toString('base64url') },
    format: 'jwk',
  })
  const shared = diffieHellman({ privateKey: mine, publicKey })
  return createHmac('sha256', shared).update(claimer_nonce).update(greeter_nonce).digest()
}
const rawKey = (key: KeyObject): Buffer => key.export({ type: 'spki', format: 'der' }).subarray(-32)
const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest()

const CIPHER = 'chacha20-poly1305'
const IV_BYTES = 12
const TAG_BYTES = 16
function seal(key: Buffer, text: Buffer): Buffer {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES })
  const sealed = Buffer.concat([cipher.update(text), cipher.final()])
  return Buffer.concat([iv, cipher.getAuthTag(), sealed])
}
function unseal(key: Buffer, payload: Uint8Array): Buffer {
  const bytes = Buffer.from(payload)
  const cipher = createDecipheriv(CIPHER, key, bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES })
  cipher.setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES))
  return Buffer.concat([cipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), cipher.final()])
}
