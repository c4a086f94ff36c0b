/**
 * A broker that is frozen for two minutes under load, and a gateway that alone loses its broker without a word, in one
 * direction or both: every command ends in time, nothing acknowledged is lost or there twice, whoever had subscribed hears
 * everything or is cut off, memory stays, and everything comes back by itself. By hand:
 *
 * Servers before 2.9.16 never notice a metadata service that vanished; a later one must come first in PATH.
 *
 *   FREEZE_SECONDS=120 node --conditions=development --test tests/resilience/broker-silence.manual.ts
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { type Connection, type Context, clientOf, type Device, Time, Uuid } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'
import { OwnNats } from '../harness/own-nats.ts'
import { type Fault, TcpProxy } from '../harness/tcp-proxy.ts'

const FREEZE_MS = Number(process.env['FREEZE_SECONDS'] ?? 120) * 1_000
const WORKERS = 60
const SUBSCRIBERS = 4
const WARM_UP_MS = 3_000
/** For a command of the metadata service, of the block store, and a handshake: their deadlines and a busy machine. */
const COMMAND_MS = 8_000
const BLOCK_MS = 33_000
const CONNECT_MS = 12_000
const RECONNECT_MS = 100
/** Between two versions of a worker; of the one in the quiet realm. */
const PAUSE_MS = 20
const QUIET_PAUSE_MS = 200
/** From then on everything works again. */
const RECOVERY_MS = 30_000
/** For which a gateway may not notice: its pings, and a look every so often. */
const NOTICE_MS = 25_000
const MAX_GROWTH_KIBIBYTES = 150 * 1024

type Worker = {
  vlob_id: Uuid
  blobs: Buffer[]
  blocks: Uuid[]
  slowest: Map<string, number>
  failures: Map<string, number>
  lastOk: number
}
type Subscriber = { connection: Connection; heard: number[]; lost: number | undefined }

test(`a broker that is frozen for ${FREEZE_MS / 1_000} s`, { timeout: FREEZE_MS + 240_000 }, async t => {
  const nats = await OwnNats.prepare()
  await nats.up()
  const cluster = await Cluster.start({ topology: 'cluster', nats: { url: nats.url(), stop: async () => {} } })
  const client = clientOf(cluster)
  const over = new AbortController()
  try {
    const { alice, bob, realm_id, quiet } = await shared(client)
    const subscribers = await subscribe(client, bob)
    const workers = makeWorkers()
    const [slow] = makeWorkers(1)
    const working = [
      work(client, alice, quiet, slow!, over.signal, QUIET_PAUSE_MS),
      ...workers.map(worker => work(client, alice, realm_id, worker, over.signal)),
    ]
    await pause(WARM_UP_MS)
    const before = await memory(cluster)
    nats.freeze()
    const start = performance.now()
    const most = new Map(before)
    const firstEnd = new Map<string, number>()
    while (performance.now() - start < FREEZE_MS) {
      for (const [name, used] of await memory(cluster)) most.set(name, Math.max(most.get(name)!, used))
      const elapsed = Math.round((performance.now() - start) / 1000)
      for (const [name, process] of cluster.processes)
        if (!firstEnd.has(name) && !(await process.isReady())) firstEnd.set(name, elapsed)
      await pause(1_000)
    }
    t.diagnostic(`not ready after seconds: ${[...firstEnd].map(String)}`)
    nats.thaw()
    const thawed = performance.now()
    await until('all processes are ready', async () => {
      const ready = await Promise.all([...cluster.processes.values()].map(process => process.isReady()))
      return ready.every(Boolean)
    })
    t.diagnostic(`ready after ${Math.round(performance.now() - thawed)} ms`)
    await until('every worker works', async () => workers.every(({ lastOk }) => lastOk > thawed))
    t.diagnostic(`all work after ${Math.round(performance.now() - thawed)} ms`)
    await pause(WARM_UP_MS)
    over.abort()
    await Promise.all(working)
    report(t, workers)
    for (const [name, used] of most) t.diagnostic(`${name}: ${before.get(name)} -> ${used} KiB`)
    for (const [name, used] of most)
      assert.ok(used - before.get(name)! < MAX_GROWTH_KIBIBYTES, `${name} grew to ${used} KiB`)
    await checkWritten(cluster, [slow!, ...workers])
    await checkHeard(cluster, quiet, subscribers, t)
    const [again] = await subscribe(client, bob, 1)
    await client.vlob(await client.connect(alice), quiet)
    await until('events go on', async () => again!.heard.length > 0)
    await until('the outbox is empty', async () => (await cluster.database!.query('SELECT FROM outbox')).length === 0)
  } catch (error) {
    throw new Error(`${error}\n${cluster.output}`, { cause: error })
  } finally {
    over.abort()
    await client.end()
    await cluster.stop()
    await nats.stop()
  }
})

const halves: readonly { name: string; fault: Fault }[] = [
  { name: 'hears nothing of its broker', fault: { kind: 'silent', way: 'to client' } },
  { name: 'is not heard by its broker', fault: { kind: 'silent', way: 'to server' } },
  { name: 'and its broker do not hear each other', fault: { kind: 'silent' } },
]
for (const victim of ['gateway-1', 'metadata-1'])
  for (const { name, fault } of halves)
    test(`${victim} alone ${name}`, { timeout: 240_000 }, async t => {
      const nats = await OwnNats.prepare()
      await nats.up()
      const proxy = await TcpProxy.start(nats.url())
      const victimAt = { 'metadata-1': 0, 'gateway-1': 3 }[victim]!
      const urlOf = (i: number) => (i === victimAt ? `nats://${new URL(proxy.url).host}` : nats.url())
      const cluster = await Cluster.start({
        topology: 'cluster',
        nats: { url: nats.url(), urlOf, stop: async () => {} },
      })
      const client = clientOf(cluster)
      const [one, two] = ['gateway-1', 'gateway-2'].map(gateway => clientOf(cluster, cluster.process(gateway).url))
      const over = new AbortController()
      try {
        const { alice, bob, realm_id, quiet } = await shared(client)
        const subscribers = [...(await subscribe(one!, bob, 2)), ...(await subscribe(two!, bob, 2))]
        const [ones, twos] = [makeWorkers(20), makeWorkers(20)]
        const [slow] = makeWorkers(1)
        const working = [
          work(two!, alice, quiet, slow!, over.signal, QUIET_PAUSE_MS),
          ...ones.map(worker => work(one!, alice, realm_id, worker, over.signal)),
          ...twos.map(worker => work(two!, alice, realm_id, worker, over.signal)),
        ]
        await pause(WARM_UP_MS)
        const process = cluster.process(victim)
        for (const each of [...ones, ...twos]) each.slowest.clear()
        proxy.set(fault)
        const start = performance.now()
        await until(`${victim} is not ready`, async () => !(await process.isReady()), NOTICE_MS)
        t.diagnostic(`not ready after ${Math.round(performance.now() - start)} ms`)
        await pause(15_000)
        if (victim === 'gateway-1') {
          const readyz = await fetch(`http://127.0.0.1:${process.monitorPort}/readyz`)
          t.diagnostic(`${readyz.status} ${await readyz.text()}`)
          assert.ok(await cluster.process('gateway-2').isReady())
        }
        await until('the others work', async () => twos.every(({ lastOk }) => performance.now() - lastOk < 2_000))
        const healed = performance.now()
        proxy.heal()
        await until('every worker works', async () => [...ones, ...twos].every(({ lastOk }) => lastOk > healed))
        await until('all are ready', async () => process.isReady())
        t.diagnostic(`all work after ${Math.round(performance.now() - healed)} ms`)
        await pause(WARM_UP_MS)
        over.abort()
        await Promise.all(working)
        t.diagnostic('gateway-1')
        report(t, ones)
        t.diagnostic('gateway-2')
        report(t, twos)
        if (victim === 'gateway-1')
          assert.deepEqual(
            twos.flatMap(({ failures }) => [...failures]),
            [],
            'the other gateway is not affected',
          )
        await checkWritten(cluster, [slow!, ...ones, ...twos])
        await checkHeard(cluster, quiet, subscribers, t)
      } catch (error) {
        throw new Error(`${error}\n${cluster.output}`, { cause: error })
      } finally {
        over.abort()
        await Promise.all([client, one!, two!].map(each => each.end()))
        await cluster.stop()
        await proxy.close()
        await nats.stop()
      }
    })

/** A realm in which many write, and a quiet one of which somebody else hears. */
async function shared(client: Context) {
  const { alice } = await client.org()
  const owner = await client.connect(alice)
  const bob = await client.user(owner, alice, 'bob')
  const [realm_id, quiet] = [await client.realm(owner, alice), await client.realm(owner, alice)]
  assert.equal((await client.share(owner, alice, quiet, 'bob', 'READER')).status, 'ok')
  return { alice, bob, realm_id, quiet }
}

const makeWorkers = (many = WORKERS): Worker[] =>
  Array.from({ length: many }, () => ({
    ...{ vlob_id: new Uuid(), blobs: [], blocks: [], slowest: new Map(), failures: new Map(), lastOk: 0 },
  }))

/** Versions and blocks, one after another, each tried again until it is answered. */
async function work(
  client: Context,
  device: Device,
  realm_id: Uuid,
  worker: Worker,
  over: AbortSignal,
  pauseMs = PAUSE_MS,
): Promise<void> {
  let connection: Connection | undefined
  const timed = async <T>(what: string, most: number, attempt: Promise<T>): Promise<T> => {
    const start = performance.now()
    try {
      return await attempt
    } catch (error) {
      const text = `${what}: ${error instanceof Error ? error.message : error}`
      worker.failures.set(text, (worker.failures.get(text) ?? 0) + 1)
      throw error
    } finally {
      const took = performance.now() - start
      worker.slowest.set(what, Math.max(worker.slowest.get(what) ?? 0, took))
      if (took > most) worker.failures.set(`${what} took too long`, took)
    }
  }
  let pending: { version: number; blob: Buffer } | undefined
  while (!over.aborted) {
    try {
      connection ??= await timed('connect', CONNECT_MS, client.connect(device))
      if (Math.random() < 0.1) {
        const block_id = new Uuid()
        const reply = await timed(
          'block',
          BLOCK_MS,
          connection.cmd('block_create', { block_id, realm_id, block: randomBytes(500) }, 60_000),
        )
        if (reply.status === 'ok') worker.blocks.push(block_id)
        else if (reply.status !== 'timeout') throw new assert.AssertionError({ message: `block: ${reply.status}` })
        continue
      }
      pending ??= { version: worker.blobs.length + 1, blob: randomBytes(100) }
      const { version, blob } = pending
      const fields = { encryption_revision: 1, vlob_id: worker.vlob_id, timestamp: Time.now(), blob }
      const reply = await timed(
        'version',
        COMMAND_MS,
        version === 1
          ? connection.cmd('vlob_create', { realm_id, ...fields }, 60_000)
          : connection.cmd('vlob_update', { version, ...fields }, 60_000),
      )
      assert.ok(['ok', 'bad_version', 'already_exists'].includes(reply.status), reply.status)
      worker.blobs.push(blob)
      pending = undefined
      worker.lastOk = performance.now()
      await pause(pauseMs)
    } catch (error) {
      if (error instanceof assert.AssertionError) throw error
      connection = undefined
      await pause(RECONNECT_MS)
    }
  }
  await connection?.close()
}

async function subscribe(client: Context, device: Device, many = SUBSCRIBERS): Promise<Subscriber[]> {
  return await Promise.all(
    Array.from({ length: many }, async () => {
      const connection = await client.connect(device)
      await connection.ok('events_subscribe')
      const subscriber: Subscriber = { connection, heard: [], lost: undefined }
      void hear(subscriber)
      return subscriber
    }),
  )
}
async function hear(subscriber: Subscriber): Promise<void> {
  try {
    for (;;) {
      const event = await subscriber.connection.event(600_000)
      if (event['event'] === 'realm.vlobs_updated') subscriber.heard.push(event['checkpoint'] as number)
    }
  } catch {
    subscriber.lost = subscriber.connection.code ?? 0
  }
}

function report(t: TestContext, workers: readonly Worker[]): void {
  const slowest = new Map<string, number>()
  const failures = new Map<string, number>()
  for (const worker of workers) {
    for (const [what, ms] of worker.slowest) slowest.set(what, Math.round(Math.max(slowest.get(what) ?? 0, ms)))
    for (const [text, many] of worker.failures) failures.set(text, (failures.get(text) ?? 0) + many)
  }
  t.diagnostic(`slowest ms: ${[...slowest].map(String).join(' ')}; failures: ${[...failures].map(String).join('; ')}`)
  assert.deepEqual(
    [...failures.keys()].filter(text => /too long|no message within/.test(text)),
    [],
  )
}

async function checkWritten(cluster: Cluster, workers: readonly Worker[]): Promise<void> {
  const atoms = await cluster.database!.query<{ vlob_id: string; version: string; blob: Buffer }>(`
    SELECT replace(vlob.vlob_id::text, '-', '') AS vlob_id, atom.version, atom.blob
    FROM vlob_atom atom JOIN vlob ON vlob._id = atom.vlob`)
  const stored = new Map(atoms.map(({ vlob_id, version, blob }) => [`${vlob_id} ${version}`, blob]))
  for (const { vlob_id, blobs } of workers)
    for (const [i, blob] of blobs.entries())
      assert.ok(stored.get(`${vlob_id} ${i + 1}`)?.equals(blob), `version ${i + 1} of ${vlob_id}`)
  const rows = await cluster.database!.query<{ block_id: string }>(
    `SELECT replace(block_id::text, '-', '') AS block_id FROM block`,
  )
  const blocks = new Set(rows.map(({ block_id }) => block_id))
  for (const worker of workers) for (const block of worker.blocks) assert.ok(blocks.has(`${block}`), `block ${block}`)
}

/** Whoever is still connected has heard every change once, in order. */
async function checkHeard(
  cluster: Cluster,
  quiet: Uuid,
  subscribers: readonly Subscriber[],
  t: TestContext,
): Promise<void> {
  const [realm] = await cluster.database!.query<{ checkpoint: number }>(
    'SELECT checkpoint::int AS checkpoint FROM realm WHERE realm_id = $1',
    [`${quiet}`],
  )
  await until('all is heard', async () =>
    subscribers.every(({ lost, heard }) => lost !== undefined || heard.length >= realm!.checkpoint),
  )
  t.diagnostic(`subscribers: ${subscribers.map(({ lost, heard }) => lost ?? `heard ${heard.length}`)}`)
  for (const { lost, heard } of subscribers)
    if (lost === undefined)
      assert.deepEqual(
        heard,
        Array.from({ length: realm!.checkpoint }, (_, i) => i + 1),
      )
}

async function memory(cluster: Cluster): Promise<Map<string, number>> {
  const used = new Map<string, number>()
  for (const [name, { pid }] of cluster.processes) {
    const status = await readFile(`/proc/${pid}/status`, 'utf8')
    used.set(name, Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]))
  }
  return used
}

async function until(what: string, holds: () => Promise<boolean>, ms = RECOVERY_MS): Promise<void> {
  for (const end = performance.now() + ms; !(await holds()); await pause(100))
    if (performance.now() > end) throw new Error(`not in time: ${what}`)
}
