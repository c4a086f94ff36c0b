/**
 * Two metadata replicas whose database misbehaves: connections die under load, one lock is held by hand, a failover
 * leaves old connections silent. Whoever waits is told in time, nothing acknowledged is lost, and no process ends.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, afterEach, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { type Connection, clientOf, type Device, Time, Uuid } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'

const WRITERS = 8
const VERSIONS_EACH = 15
const RESETS = 4
const READERS = 50
const cluster = await Cluster.start({ topology: 'cluster', flags: ['--drain-seconds=3'], isDatabaseProxied: true })
const proxy = cluster.databaseProxy!
const client = clientOf(cluster)
const { alice } = await client.org()
const owner = await client.connect(alice)
const realm_id = await client.realm(owner, alice)
afterEach(() => proxy.heal())
after(async () => {
  await client.end()
  await cluster.stop()
})
const everyProcessRuns = () => {
  for (const server of cluster.processes.values()) assert.ok(server.isRunning, `${server.name}:\n${server.output}`)
}
async function until(what: string, check: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000
  while (!(await check())) {
    assert.ok(performance.now() < deadline, `never came true: ${what}\n${cluster.output}`)
    await pause(50)
  }
}

/** A client that writes the versions of a vlob, each until it is answered, on new connections when need be. */
class Writer {
  readonly vlob_id = new Uuid()
  readonly blobs: Buffer[] = []
  #connection: Connection | undefined
  readonly #device: Device
  readonly #realm_id: Uuid
  constructor(device: Device, realm_id: Uuid) {
    this.#device = device
    this.#realm_id = realm_id
  }
  async write(): Promise<void> {
    const blob = randomBytes(50)
    const version = this.blobs.length + 1
    const fields = { encryption_revision: 1, vlob_id: this.vlob_id, timestamp: Time.now(), blob }
    const { status } = await this.#persist(connection =>
      version === 1
        ? connection.cmd('vlob_create', { realm_id: this.#realm_id, ...fields })
        : connection.cmd('vlob_update', { version, ...fields }),
    )
    // A reply that was lost: the retry finds its own version there.
    assert.ok(['ok', 'bad_version', 'already_exists'].includes(status), status)
    this.blobs.push(blob)
  }
  async read(version: number): Promise<Buffer> {
    const reply = await this.#persist(connection =>
      connection.cmd('vlob_read', { encryption_revision: 1, vlob_id: this.vlob_id, version, timestamp: null }),
    )
    return reply.blob
  }
  async #persist(command: (connection: Connection) => ReturnType<Connection['cmd']>): ReturnType<Connection['cmd']> {
    for (;;) {
      try {
        this.#connection ??= await client.connect(this.#device)
        return await command(this.#connection)
      } catch {
        this.#connection = undefined
        await pause(50)
      }
    }
  }
}

test('connections die under load, again and again: both replicas go on, nothing acknowledged is lost', async () => {
  const writers = Array.from({ length: WRITERS }, () => new Writer(alice, realm_id))
  let done = 0
  const working = Promise.all(
    writers.map(async writer => {
      for (let i = 0; i < VERSIONS_EACH; i++) {
        await writer.write()
        done++
      }
    }),
  )
  for (let i = 1; i <= RESETS; i++) {
    await until('the load goes on', async () => done >= (i * WRITERS * VERSIONS_EACH) / (RESETS + 1))
    proxy.reset()
  }
  await working
  everyProcessRuns()
  for (const writer of writers)
    for (const [i, blob] of writer.blobs.entries()) assert.ok(blob.equals(await writer.read(i + 1)), `version ${i + 1}`)
})

test('a failover without RST: commands and sweeps work again within seconds', async () => {
  const writer = new Writer(alice, realm_id)
  await writer.write()
  proxy.set({ kind: 'silent', only: 'open' })
  await writer.write()
  // What another replica left behind goes out, too.
  await cluster.database!.query(
    `INSERT INTO outbox (subject, event, created_on) SELECT subject, event, now() - interval '1 hour'
     FROM (VALUES ('parsec.event.nobody.client', '\\x80'::bytea)) AS left_behind (subject, event)`,
  )
  await until('the outbox is swept', async () => (await cluster.database!.query('SELECT FROM outbox')).length === 0)
  for (const name of ['metadata-1', 'metadata-2'])
    await until(`${name} is ready`, () => cluster.process(name).isReady())
  everyProcessRuns()
})

test('an outage fails each command, and is told once for each kind of them and cause', async () => {
  const heard: string[] = []
  for (const server of cluster.processes.values()) server.hear(text => heard.push(`${server.name} ${text}`))
  const readers = await Promise.all(Array.from({ length: READERS }, () => client.connect(alice)))
  proxy.set({ kind: 'reset' })
  const read = { encryption_revision: 1, vlob_id: new Uuid(), version: 1, timestamp: null }
  for (const reader of readers) await assert.rejects(reader.cmd('vlob_read', read))
  const writer = new Writer(alice, realm_id)
  proxy.heal()
  await writer.write()
  const told = heard
    .join('')
    .split('\n')
    .filter(line => /Service unavailable .*cmd=vlob_read/.test(line))
    .map(line => line.replace(/^.*Service unavailable|(conn_id|device_id|organization_id|request_id)=\S+/g, ''))
  assert.ok(told.length >= 2, 'by a gateway and by the service')
  // Two processes of each service may say the same.
  for (const line of new Set(told)) assert.ok(told.filter(other => other === line).length <= 2, told.join('\n'))
  assert.ok(told.length < READERS, told.join('\n'))
})

test('a lock that somebody holds by hand: other organizations go on, and SIGTERM ends the process', async () => {
  const other = await client.org()
  const elsewhere = new Writer(other.alice, await client.realm(await client.connect(other.alice), other.alice))
  const holder = new pg.Client({ connectionString: cluster.database!.url })
  await holder.connect()
  try {
    await holder.query('BEGIN')
    await holder.query('SELECT FROM realm WHERE realm_id = $1 FOR UPDATE', [`${realm_id}`])
    let released = false
    const blocked = Array.from({ length: WRITERS }, () => new Writer(alice, realm_id)).map(writer =>
      writer.write().then(() => assert.ok(released, 'written without the lock')),
    )
    await until('writers wait for the lock', async () => {
      const waiting = await cluster.database!.query(`
        SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
      return waiting.length >= 2
    })
    for (let i = 0; i < 5; i++) await elsewhere.write()
    await cluster.process('metadata-1').end('SIGTERM')
    assert.match(cluster.process('metadata-1').output, /bye ;-\)/)
    await cluster.process('metadata-1').start()
    for (let i = 0; i < 5; i++) await elsewhere.write()
    released = true
    await holder.query('COMMIT')
    await Promise.all(blocked)
    everyProcessRuns()
  } finally {
    await holder.end()
  }
})
