/** One randomized run: a cluster of pairs, clients that never stop, faults without pause; then silence, and the check. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { type Connection, type Context, clientOf, type Device, roleCertificate, Uuid } from '../../harness/client.ts'
import { Cluster, type LaunchOptions } from '../../harness/launch.ts'
import { violations } from './checker.ts'
import { COMMAND_MS, decrypt, listener, type Realm, reencrypter, sharer, type World, worker } from './clients.ts'
import { makeFaults, randomFrom } from './faults.ts'
import { type Final, History } from './history.ts'

const REALMS = 4
const WORKERS_EACH = 3
const MEMBERS = ['bob', 'mallory']
const READERS = ['carol', 'dave']
/** What was acknowledged must be told by then: sweeps, a gap that is waited for, a busy machine. */
const SETTLE_MS = 30_000
/** Everything is told when nobody has heard anything for so long: longer than a missing event is waited for. */
const QUIET_MS = 6_000

/** Longer in all than the broker and the database keep the connection of somebody whom a fault has made vanish. */
const READ_ATTEMPTS = 20
const READ_AGAIN_MS = 3_000

export type Report = { seed: number; violations: string[]; faults: string[]; outcomes: { [outcome: string]: number } }
/** Does something to the cluster, with chance as it likes, until `over` or earlier; tells what. */
export type Befall = (cluster: Cluster, random: () => number, over: AbortSignal) => Promise<string[]>
export type RunOptions = {
  /** Clients work for so long, and until everything has befallen the cluster. */
  seconds: number
  seed: number
  befall?: Befall
  launch?: Partial<LaunchOptions>
}

export async function randomizedRun({ seconds, seed, befall = makeFaults, launch = {} }: RunOptions): Promise<Report> {
  const folders = await makeFolders()
  const cluster = await Cluster.start({
    topology: 'pairs',
    flags: ['--drain-seconds=2'],
    blockstore: folders.map((folder, i) => `RAID1:${i}:file:${folder}`),
    ...launch,
  })
  const setUp = clientOf(cluster)
  const entrances = [...cluster.processes.values()].filter(({ name }) => /^(?:gateway-|server)/.test(name))
  const gateways = entrances.map(({ url }) => clientOf(cluster, url))
  const over = new AbortController()
  const settled = new AbortController()
  try {
    const random = randomFrom(seed)
    const { alice, members, readers, listeners, realms } = await prepare(setUp)
    const history = new History()
    const world: World = { history, gateways, random, over: over.signal, realms }
    const hearing = [
      ...readers.map(device => listener(world, device, realms, settled.signal)),
      ...listeners.map(device => listener(world, device, [], settled.signal)),
    ]
    const working = [
      ...[alice, ...members].flatMap(device => Array.from({ length: WORKERS_EACH }, () => worker(world, device))),
      sharer(world, alice, MEMBERS, roleCertificate),
      reencrypter(world, alice, realms[0]!, () => participants(cluster, realms[0]!.realm_id)),
    ]
    const ended = new AbortController()
    const elapsed = pause(seconds * 1_000).then(() => ended.abort())
    const befell = await befall(cluster, random, ended.signal)
    await elapsed
    over.abort()
    await Promise.all(working)
    await settle(cluster, history)
    const final = await patiently(isLast => readFinal(cluster, setUp, alice, members, history, isLast))
    settled.abort()
    await Promise.all(hearing)
    const found = violations(history, final)
    return {
      seed,
      violations: found,
      faults: befell,
      outcomes: tally(history.entries.map(e => `${e.kind} ${e.outcome}`)),
    }
  } catch (error) {
    throw new Error(`seed ${seed}: ${error}\n${cluster.output}`, { cause: error })
  } finally {
    over.abort()
    settled.abort()
    await Promise.all([setUp, ...gateways].map(client => client.end()))
    await cluster.stop()
    for (const folder of folders) await rm(folder, { recursive: true, force: true })
  }
}

/** Waits until everything is told, or until it should have been. */
async function settle(cluster: Cluster, history: History): Promise<void> {
  const deadline = performance.now() + SETTLE_MS
  const state = async () => {
    const outbox = await cluster.database!.query('SELECT FROM outbox')
    const told = history.listening.map(({ changes, roles }) => changes.length + roles.length)
    return [outbox.length, ...told].join()
  }
  for (let last = '', since = 0; performance.now() < deadline; await pause(250)) {
    const now = await state()
    if (now !== last) [last, since] = [now, performance.now()]
    else if (performance.now() - since > QUIET_MS && now.startsWith('0')) return
  }
}

const makeFolders = (): Promise<string[]> => Promise.all([0, 1].map(i => mkdtemp(join(tmpdir(), `parsec-node-${i}-`))))

async function prepare(client: Context) {
  const { alice } = await client.org()
  const owner = await client.connect(alice)
  const realms: Realm[] = []
  for (let i = 0; i < REALMS; i++) realms.push({ realm_id: await client.realm(owner, alice), vlobs: [], revision: 1 })
  const readers = await Promise.all(READERS.map(name => client.user(owner, alice, name)))
  const members = await Promise.all(MEMBERS.map(name => client.user(owner, alice, name)))
  for (const { realm_id } of realms)
    for (const name of READERS) await client.share(owner, alice, realm_id, name, 'READER')
  const listeners: Device[] = []
  for (const member of members) listeners.push(await secondDevice(client, member))
  return { alice, members, readers, listeners, realms }
}
async function secondDevice(client: Context, member: Device): Promise<Device> {
  const connection = await client.connect(member)
  const device = await client.device(connection, member)
  await connection.close()
  return device
}

const participants = async (cluster: Cluster, realm_id: Uuid): Promise<string[]> =>
  (
    await cluster.database!.query<{ user_id: string }>(
      `SELECT user_.user_id FROM realm JOIN realm_user ON realm_user.realm = realm._id JOIN user_ ON user_._id = realm_user.user_
       WHERE realm.realm_id = $1 AND realm_user.role IS NOT NULL`,
      [`${realm_id}`],
    )
  ).map(row => row.user_id)

/** The cluster may still end a connection that a fault has left behind, or turn a reader away while it recovers. */
async function patiently<T>(read: (isLast: boolean) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await read(attempt === READ_ATTEMPTS)
    } catch (error) {
      if (attempt === READ_ATTEMPTS) throw error
      await pause(READ_AGAIN_MS)
    }
  }
}

/** Reads everything back as a client, and the change logs from the database. */
async function readFinal(
  cluster: Cluster,
  client: Context,
  alice: Device,
  members: readonly Device[],
  history: History,
  isLast: boolean,
): Promise<Final> {
  const owner = await client.connect(alice)
  const realmOf = new Map(history.entries.flatMap(e => (e.kind === 'write' ? [[e.vlob, e.realm] as const] : [])))
  const revisions = new Map<string, number>()
  for (const realm of new Set(realmOf.values())) revisions.set(realm, await readableRevision(owner, realm))
  const versions = new Map<string, string[]>()
  for (const [vlob, realm] of realmOf) versions.set(vlob, await readVersions(owner, vlob, revisions.get(realm)!))
  const blocks = new Map<string, Buffer>()
  for (const entry of history.entries)
    if (entry.kind === 'block' && entry.outcome === 'ok') {
      const reply = await owner.cmd('block_read', { block_id: uuid(entry.block) })
      if (reply.status === 'timeout' && !isLast) throw new Error('the block store is not there yet')
      if (reply.status === 'ok') blocks.set(entry.block, Buffer.from(reply['block'] as Uint8Array))
    }
  const inboxes = new Map<string, { index: number; body: string }[]>()
  for (const member of members) inboxes.set(member.user_id, await readInbox(await client.connect(member)))
  return { versions, blocks, inboxes, realms: await changeLogs(cluster) }
}

async function readableRevision(owner: Connection, realm: string): Promise<number> {
  const status = await owner.ok('realm_status', { realm_id: uuid(realm) })
  return (status['encryption_revision'] as number) - (status['in_maintenance'] ? 1 : 0)
}
async function readVersions(owner: Connection, vlob: string, encryption_revision: number): Promise<string[]> {
  const payloads: string[] = []
  for (let version = 1; ; version++) {
    const fields = { encryption_revision, vlob_id: uuid(vlob), version, timestamp: null }
    const reply = await owner.cmd('vlob_read', fields, COMMAND_MS)
    if (reply.status !== 'ok') return payloads
    payloads.push(decrypt(reply['blob'] as Uint8Array))
  }
}
async function readInbox(connection: Connection): Promise<{ index: number; body: string }[]> {
  const all: { index: number; body: string }[] = []
  for (;;) {
    const { messages } = await connection.ok('message_get', { offset: all.at(-1)?.index ?? 0 })
    if ((messages as unknown[]).length === 0) return all
    for (const { count, body } of messages as { count: number; body: Uint8Array }[])
      all.push({ index: count, body: Buffer.from(body).toString('hex') })
  }
}

async function changeLogs(cluster: Cluster): Promise<Final['realms']> {
  const rows = await cluster.database!.query<{ [column: string]: string }>(`
    SELECT replace(realm_id::text, '-', '') AS realm, realm.checkpoint, count(change.index) AS changes,
      coalesce(min(change.index), 0) AS first, coalesce(max(change.index), 0) AS last
    FROM realm LEFT JOIN realm_change change ON change.realm = realm._id GROUP BY realm._id`)
  return new Map(
    rows.map(({ realm, checkpoint, changes, first, last }) => [
      realm!,
      { checkpoint: Number(checkpoint), changes: Number(changes), first: Number(first), last: Number(last) },
    ]),
  )
}

const uuid = (hex: string): Uuid => new Uuid(hex)
function tally(names: readonly string[]): { [name: string]: number } {
  const counts: { [name: string]: number } = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}
