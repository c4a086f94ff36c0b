/**
 * Clients that go on whatever happens: each asks one thing after another, notes what it asked and what it was told, and
 * connects again when it was cut off, through whichever gateway takes it.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import {
  type Connection,
  type Context,
  type Device,
  type RealmRole,
  type Reply,
  Time,
  Uuid,
} from '../../harness/client.ts'
import type { History, Listening, Outcome } from './history.ts'

/** Milliseconds after which a command must have been answered or cut off: its deadline, and a gateway that was stopped. */
export const COMMAND_MS = 20_000
export const BLOCK_COMMAND_MS = 60_000
/** A listener hears nothing for so long in the quietest run. */
const LISTEN_MS = 300_000
const RECONNECT_MS = 100
const PAYLOAD_BYTES = 24

export type World = {
  readonly history: History
  /** One for each gateway. */
  readonly gateways: readonly Context[]
  readonly random: () => number
  /** Aborted when the clients shall end. */
  readonly over: AbortSignal
  readonly realms: readonly Realm[]
}
/** A realm with what clients believe of it; several clients share the belief, as one user's devices might. */
export type Realm = { readonly realm_id: Uuid; readonly vlobs: Vlob[]; revision: number }
export type Vlob = { readonly vlob_id: Uuid; version: number }

/** Encryption as the checker can look through it: a revision, then the payload. */
const encrypt = (revision: number, payload: string): Buffer => Buffer.from(`${revision}:${payload}`)
export const decrypt = (blob: Uint8Array): string => Buffer.from(blob).toString().split(':')[1] ?? ''
const freshPayload = (): string => randomBytes(PAYLOAD_BYTES).toString('hex')

/** The connection of one device, made anew when it was lost. */
export class Link {
  readonly world: World
  readonly device: Device
  #connection: Connection | undefined

  constructor(world: World, device: Device) {
    this.world = world
    this.device = device
  }

  /** A reply, or `lost` when the connection ended first; then the next command waits a moment. */
  async ask(cmd: string, fields: { [field: string]: unknown }, ms = COMMAND_MS): Promise<Reply | 'lost'> {
    try {
      this.#connection ??= await this.connect()
    } catch {
      await pause(RECONNECT_MS)
      return 'lost'
    }
    const connection = this.#connection
    try {
      return await connection.cmd(cmd, fields, ms)
    } catch {
      if (!connection.closed) {
        this.world.history.overdue.push(`${cmd} of ${this.device.device_id}: nothing within ${ms} ms`)
        connection.ws.terminate()
      }
      this.#connection = undefined
      await pause(RECONNECT_MS)
      return 'lost'
    }
  }
  connect(): Promise<Connection> {
    return pick(this.world, this.world.gateways).connect(this.device)
  }
  async end(): Promise<void> {
    await this.#connection?.close()
  }
}

const pick = <T>(world: World, from: readonly T[]): T => from[Math.floor(world.random() * from.length)]!
const statusOf = (reply: Reply | 'lost'): Outcome => (reply === 'lost' ? reply : reply.status)

/** Writes, reads and adds blocks in every realm of the world. */
export async function worker(world: World, device: Device): Promise<void> {
  const link = new Link(world, device)
  while (!world.over.aborted) {
    const realm = pick(world, world.realms)
    const dice = world.random()
    if (dice < 0.05 || realm.vlobs.length === 0) await createVlob(link, realm)
    else if (dice < 0.55) await updateVlob(link, realm, pick(world, realm.vlobs))
    else if (dice < 0.9) await readVlob(link, realm, pick(world, realm.vlobs))
    else await createBlock(link, realm)
  }
  await link.end()
}

async function createVlob(link: Link, realm: Realm): Promise<void> {
  const vlob: Vlob = { vlob_id: new Uuid(), version: 1 }
  const written = await write(link, realm, vlob, 1)
  // A lost one may be there: others may go on with it.
  if (written === 'ok' || written === 'lost') realm.vlobs.push(vlob)
}

async function updateVlob(link: Link, realm: Realm, vlob: Vlob): Promise<void> {
  const version = vlob.version + 1
  const outcome = await write(link, realm, vlob, version)
  if (outcome === 'ok') vlob.version = Math.max(vlob.version, version)
  else if (outcome === 'bad_version' || outcome === 'lost') await readVlob(link, realm, vlob)
}

async function write(link: Link, realm: Realm, vlob: Vlob, version: number): Promise<Outcome> {
  const payload = freshPayload()
  const { revision } = realm
  const common = {
    encryption_revision: revision,
    vlob_id: vlob.vlob_id,
    timestamp: Time.now(),
    blob: encrypt(revision, payload),
  }
  const entry = {
    kind: 'write' as const,
    user: link.device.user_id,
    realm: `${realm.realm_id}`,
    vlob: `${vlob.vlob_id}`,
    version,
    payload,
  }
  const outcome = await link.world.history.note(entry, async () =>
    statusOf(
      version === 1
        ? await link.ask('vlob_create', { realm_id: realm.realm_id, ...common })
        : await link.ask('vlob_update', { version, ...common }),
    ),
  )
  await learnRevision(link, realm, outcome)
  return outcome
}

async function readVlob(link: Link, realm: Realm, vlob: Vlob): Promise<void> {
  const entry = {
    kind: 'read' as const,
    user: link.device.user_id,
    realm: `${realm.realm_id}`,
    vlob: `${vlob.vlob_id}`,
    version: 0,
    payload: '',
  }
  const outcome = await link.world.history.note(entry, async noted => {
    const { vlob_id } = vlob
    const reply = await link.ask('vlob_read', {
      encryption_revision: realm.revision,
      vlob_id,
      version: null,
      timestamp: null,
    })
    if (reply !== 'lost' && reply.status === 'ok') {
      noted.version = reply['version'] as number
      noted.payload = decrypt(reply['blob'] as Uint8Array)
      vlob.version = Math.max(vlob.version, noted.version)
    }
    return statusOf(reply)
  })
  await learnRevision(link, realm, outcome)
}

/** What a client does that finds the realm in another revision: it asks. */
async function learnRevision(link: Link, realm: Realm, outcome: Outcome): Promise<void> {
  if (outcome !== 'bad_encryption_revision' && outcome !== 'in_maintenance') return
  const reply = await link.ask('realm_status', { realm_id: realm.realm_id })
  if (reply === 'lost' || reply.status !== 'ok') return
  const revision = reply['encryption_revision'] as number
  realm.revision = reply['in_maintenance'] ? revision - 1 : revision
}

async function createBlock(link: Link, realm: Realm): Promise<void> {
  const block_id = new Uuid()
  const bytes = randomBytes(2_000)
  const entry = { kind: 'block' as const, realm: `${realm.realm_id}`, block: `${block_id}`, bytes }
  await link.world.history.note(entry, async () =>
    statusOf(await link.ask('block_create', { block_id, realm_id: realm.realm_id, block: bytes }, BLOCK_COMMAND_MS)),
  )
}

const ROLES: readonly (RealmRole | null)[] = ['CONTRIBUTOR', 'READER', null, 'CONTRIBUTOR', 'MANAGER']

/** The owner gives and takes roles, without end. */
export async function sharer(
  world: World,
  owner: Device,
  members: readonly string[],
  roleCertificate: RoleCertifier,
): Promise<void> {
  const link = new Link(world, owner)
  while (!world.over.aborted) {
    const { realm_id } = pick(world, world.realms)
    const user = pick(world, members)
    const role = pick(world, ROLES)
    const message = randomBytes(16)
    await world.history.note(
      { kind: 'role', realm: `${realm_id}`, user, role, message: message.toString('hex') },
      async () =>
        statusOf(
          await link.ask('realm_update_roles', {
            role_certificate: roleCertificate(owner, realm_id, user, role),
            recipient_message: message,
          }),
        ),
    )
    await pause(50 + world.random() * 400)
  }
  await link.end()
}
export type RoleCertifier = (author: Device, realm_id: Uuid, user_id: string, role: RealmRole | null) => Buffer

/** The owner encrypts one realm anew, again and again. */
export async function reencrypter(
  world: World,
  owner: Device,
  realm: Realm,
  participants: () => Promise<string[]>,
): Promise<void> {
  const link = new Link(world, owner)
  const { realm_id } = realm
  while (!world.over.aborted) {
    const status = await link.ask('realm_status', { realm_id })
    if (status === 'lost' || status.status !== 'ok') continue
    const encryption_revision = (status['encryption_revision'] as number) + (status['in_maintenance'] ? 0 : 1)
    if (!status['in_maintenance']) {
      await pause(1_000 + world.random() * 3_000)
      const per_participant_message = Object.fromEntries((await participants()).map(user => [user, Buffer.from('key')]))
      const timestamp = Time.now()
      await link.ask('realm_start_reencryption_maintenance', {
        realm_id,
        encryption_revision,
        timestamp,
        per_participant_message,
      })
    } else if (await saveBatch(link, realm_id, encryption_revision)) {
      const finished = await link.ask('realm_finish_reencryption_maintenance', { realm_id, encryption_revision })
      if (finished !== 'lost' && finished.status === 'ok') realm.revision = encryption_revision
    }
  }
  await link.end()
}

/** True when nothing is left. */
async function saveBatch(link: Link, realm_id: Uuid, encryption_revision: number): Promise<boolean> {
  const found = await link.ask('vlob_maintenance_get_reencryption_batch', { realm_id, encryption_revision, size: 20 })
  if (found === 'lost' || found.status !== 'ok') return false
  const old = found['batch'] as { vlob_id: Uuid; version: number; blob: Uint8Array }[]
  const batch = old.map(({ vlob_id, version, blob }) => ({
    vlob_id,
    version,
    blob: encrypt(encryption_revision, decrypt(blob)),
  }))
  const saved = await link.ask('vlob_maintenance_save_reencryption_batch', { realm_id, encryption_revision, batch })
  return saved !== 'lost' && saved.status === 'ok' && saved['done'] === saved['total']
}

/**
 * Listens until everything has settled; each connection on which it caught up is one `Listening`. `realms`: those in which
 * the user always has a role, so that every change must be told.
 */
export async function listener(
  world: World,
  device: Device,
  realms: readonly Realm[],
  settled: AbortSignal,
): Promise<void> {
  const link = new Link(world, device)
  while (!settled.aborted) {
    const session = await link.connect().then(
      connection => listen(world, device, connection, realms, settled),
      () => undefined,
    )
    if (!session) await pause(RECONNECT_MS)
  }
}

async function listen(
  world: World,
  device: Device,
  connection: Connection,
  realms: readonly Realm[],
  settled: AbortSignal,
): Promise<Listening | undefined> {
  let session: Listening | undefined
  const leave = () => connection.ws.terminate()
  try {
    const start = performance.now()
    await connection.ok('events_subscribe', {}, COMMAND_MS)
    const caughtUp = new Map<string, number>()
    for (const { realm_id } of realms) {
      const reply = await connection.cmd('vlob_poll_changes', { realm_id, last_checkpoint: 0 }, COMMAND_MS)
      if (reply.status === 'ok') caughtUp.set(`${realm_id}`, reply['current_checkpoint'] as number)
    }
    session = { user: device.user_id, start, end: undefined, caughtUp, changes: [], roles: [] }
    world.history.listening.push(session)
    settled.addEventListener('abort', leave, { once: true })
    for (;;) {
      const event = await connection.event(LISTEN_MS)
      const realm = `${event['realm_id']}`
      if (event['event'] === 'realm.vlobs_updated') session.changes.push([realm, event['checkpoint'] as number])
      if (event['event'] === 'realm.roles_updated') session.roles.push([realm, event['role'] as RealmRole | null])
    }
  } catch {
    // Cut off by the test itself it counts as open to the end.
    if (session && !settled.aborted) session.end = performance.now()
    leave()
    return session
  } finally {
    settled.removeEventListener('abort', leave)
  }
}
