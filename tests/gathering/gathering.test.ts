/** What waits for the database goes together (ADR 9): one server on PostgreSQL, many connections, and what others must not feel. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'
import { createDatabase } from '../harness/backing.ts'
import { type Connection, clientOf, type Reply, Time, Uuid } from '../harness/client.ts'
import { Cluster, migrate } from '../harness/launch.ts'

const CONNECTIONS = 16
const database = await createDatabase()
await migrate(database.url, { PATH: process.env.PATH })
const proxy = await countingProxy(database.url)
const cluster = await Cluster.start({
  topology: 'single',
  blockstore: 'POSTGRESQL',
  flags: [`--db=${proxy.url}`, '--log-level=WARNING'],
})
const server = cluster.process('server')
const client = clientOf(cluster)
after(async () => {
  await client.end()
  await cluster.stop()
  proxy.close()
  await database.drop()
})

/** A connection of its own with a vlob of its own. */
type Writer = { connection: Connection; vlob_id: Uuid; version: number }
const { alice } = await client.org()
const owner = await client.connect(alice)
const realm_id = await client.realm(owner, alice)
const writers = await Promise.all(Array.from({ length: CONNECTIONS }, () => writerIn(realm_id)))

async function writerIn(realm_id: Uuid): Promise<Writer> {
  const connection = await client.connect(alice)
  const { vlob_id } = await client.vlob(connection, realm_id)
  return { connection, vlob_id, version: 1 }
}
const update = ({ connection, vlob_id }: Writer, version: number, blob = randomBytes(100)): Promise<Reply> =>
  connection.cmd('vlob_update', { encryption_revision: 1, vlob_id, version, timestamp: Time.now(), blob })
const read = ({ connection, vlob_id }: Writer, version: number | null = null): Promise<Reply> =>
  connection.cmd('vlob_read', { encryption_revision: 1, vlob_id, version, timestamp: null })
const next = async (writer: Writer): Promise<void> => {
  assert.equal((await update(writer, ++writer.version)).status, 'ok')
}

test('a realm that somebody keeps locked keeps nobody else waiting', async () => {
  const elsewhere = await writerIn(await client.realm(writers[0]!.connection, alice))
  const holder = new pg.Client({ connectionString: database.url })
  await holder.connect()
  try {
    await holder.query('BEGIN')
    await holder.query('SELECT FROM realm WHERE realm_id = $1 FOR NO KEY UPDATE', [`${realm_id}`])
    const answered: string[] = []
    const waiting = writers.map(writer => next(writer).then(() => void answered.push('locked')))
    for (let n = 0; n < 5; n++) {
      await next(elsewhere)
      assert.equal((await read(elsewhere)).status, 'ok')
      assert.equal(
        (
          await read(
            writers[0]!.connection === elsewhere.connection
              ? elsewhere
              : { ...writers[0]!, connection: elsewhere.connection },
          )
        ).status,
        'ok',
      )
    }
    assert.deepEqual(answered, [])
    const { rows } = await holder.query<{ n: number }>(
      "SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    assert.ok(rows[0]!.n <= 1, `${rows[0]!.n} connections wait for the lock`)
    await holder.query('COMMIT')
    await Promise.all(waiting)
  } finally {
    await holder.end()
  }
})

test('a batch that the database does not answer keeps other realms waiting for a moment only', async () => {
  const elsewhere = await writerIn(await client.realm(writers[0]!.connection, alice))
  const [stuck] = writers
  const holder = new pg.Client({ connectionString: database.url })
  await holder.connect()
  try {
    await holder.query('BEGIN')
    await holder.query('SELECT FROM vlob WHERE vlob_id = $1 FOR UPDATE', [`${stuck!.vlob_id}`])
    let isAnswered = false
    const waiting = update(stuck!, stuck!.version + 1).finally(() => {
      isAnswered = true
    })
    waiting.catch(() => {})
    const isHeld = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while ((await database.query(isHeld)).length === 0);
    for (let n = 0; n < 5; n++) {
      await next(elsewhere)
      assert.equal((await createBlock(elsewhere.connection, realm_id)).status, 'ok')
      await (await client.connect(alice)).close()
    }
    assert.equal(isAnswered, false)
    await holder.query('COMMIT')
    assert.equal((await waiting).status, 'ok')
    stuck!.version++
  } finally {
    await holder.end()
  }
})

test('several updates of one vlob at once are as if one came after the other', async () => {
  const [first] = writers
  const from = first!.version + 1
  const replies = await Promise.all(
    writers.map(({ connection }, i) => update({ ...first!, connection }, from + Math.floor(i / 2))),
  )
  const done = replies.flatMap((reply, i) => (reply.status === 'ok' ? [from + Math.floor(i / 2)] : []))
  for (const { status } of replies) assert.ok(status === 'ok' || status === 'bad_version', status)
  assert.deepEqual(
    done.toSorted((a, b) => a - b),
    done.map((_, i) => from + i),
    'each version once, without gap',
  )
  first!.version += done.length
  assert.equal((await read(first!)).version, first!.version)
})

test('creates of one id at once: one ok, the others already_exists', async () => {
  const vlob_id = writers[0]!.vlob_id
  const fresh = (await client.vlob(writers[0]!.connection, realm_id)).vlob_id
  assert.notEqual(`${fresh}`, `${vlob_id}`)
  const id = new (fresh.constructor as new () => Uuid)()
  const replies = await Promise.all(
    writers.map(({ connection }) =>
      connection.cmd('vlob_create', {
        realm_id,
        encryption_revision: 1,
        vlob_id: id,
        timestamp: Time.now(),
        blob: randomBytes(10),
      }),
    ),
  )
  const statuses = replies.map(reply => reply.status).toSorted()
  assert.deepEqual(statuses, [...Array(CONNECTIONS - 1).fill('already_exists'), 'ok'])
})

test('an id that somebody else takes while a create is under way is already_exists, and nothing is written', async () => {
  const elsewhere = await client.realm(owner, alice)
  const vlob_id = new Uuid()
  const written = { encryption_revision: 1, vlob_id, timestamp: Time.now(), blob: randomBytes(10) }
  await meanwhile(
    [
      `INSERT INTO vlob (organization, vlob_id, realm, version, timestamp, changed)
       SELECT organization, $1, _id, 1, now(), 1 FROM realm WHERE realm_id = $2`,
      [`${vlob_id}`, `${realm_id}`],
    ],
    () => owner.cmd('vlob_create', { ...written, realm_id: elsewhere }),
    async created => assert.equal((await created).status, 'already_exists'),
  )
  const { current_checkpoint } = await owner.ok('vlob_poll_changes', { realm_id: elsewhere, last_checkpoint: 0 })
  assert.equal(current_checkpoint, 0)
  await database.query('DELETE FROM vlob WHERE vlob_id = $1', [`${vlob_id}`])
})

test('who may not write any more when a block is stored has not created it (05-data §10)', async () => {
  const bob = await client.user(owner, alice, 'bob')
  const connection = await client.connect(bob)
  assert.equal((await client.share(owner, alice, realm_id, 'bob', 'CONTRIBUTOR')).status, 'ok')
  const block_id = new Uuid()
  await meanwhile(
    ['LOCK TABLE block_data IN SHARE MODE', []],
    async () => createBlock(connection, realm_id, block_id),
    async created => assert.equal((await created).status, 'not_allowed'),
    async () => assert.equal((await client.share(owner, alice, realm_id, 'bob', 'READER')).status, 'ok'),
  )
  assert.equal((await owner.cmd('block_read', { block_id })).status, 'not_found')
})

/** Somebody else has done something and not committed it when a command begins, which meets it, and commits then. */
async function meanwhile(
  [text, values]: [string, string[]],
  command: () => Promise<Reply>,
  end: (reply: Promise<Reply>) => Promise<void>,
  first = async () => {},
): Promise<void> {
  const holder = new pg.Client({ connectionString: database.url })
  await holder.connect()
  try {
    await holder.query('BEGIN')
    await holder.query(text, values)
    const reply = command()
    reply.catch(() => {})
    const isMet = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while ((await database.query(isMet)).length === 0);
    await first()
    await holder.query('COMMIT')
    await end(reply)
  } finally {
    await holder.end()
  }
}

const createBlock = (connection: Connection, realm_id: Uuid, block_id = new Uuid(), bytes = 100): Promise<Reply> =>
  connection.cmd('block_create', { block_id, realm_id, block: randomBytes(bytes) })

test('a realm whose roles somebody changes keeps no block of another realm waiting', async () => {
  const elsewhere = await client.realm(owner, alice)
  const holder = new pg.Client({ connectionString: database.url })
  await holder.connect()
  try {
    await holder.query('BEGIN')
    await holder.query('SELECT pg_advisory_xact_lock(1380272461, _id::int) FROM realm WHERE realm_id = $1', [
      `${realm_id}`,
    ])
    const answered: string[] = []
    const waiting = writers.map(async ({ connection }) => {
      const { status } = await createBlock(connection, realm_id)
      answered.push(status)
    })
    for (let n = 0; n < 5; n++) assert.equal((await createBlock(owner, elsewhere)).status, 'ok')
    assert.deepEqual(answered, [])
    const { rows } = await holder.query<{ n: number }>(
      "SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    assert.ok(rows[0]!.n <= 1, `${rows[0]!.n} connections wait for the lock`)
    await holder.query('COMMIT')
    await Promise.all(waiting)
    assert.deepEqual(answered, Array(CONNECTIONS).fill('ok'))
  } finally {
    await holder.end()
  }
})

test('blocks that are created at once are each there once, and counted once', async () => {
  const realms = [await client.realm(owner, alice), await client.realm(owner, alice)]
  const [shared, ...ids] = Array.from({ length: 40 }, () => new Uuid())
  const created = ids.map((id, i) =>
    createBlock(writers[i % CONNECTIONS]!.connection, realms[i % 2]!, id, 100 + Math.floor(i / 2)),
  )
  const contended = writers.map(({ connection }) => createBlock(connection, realms[0]!, shared, 1000))
  for (const { status } of await Promise.all(created)) assert.equal(status, 'ok')
  const statuses = (await Promise.all(contended)).map(reply => reply.status).toSorted()
  assert.deepEqual(statuses, [...Array(CONNECTIONS - 1).fill('already_exists'), 'ok'])
  const missing = await createBlock(owner, new Uuid())
  assert.equal(missing.status, 'not_found')
  for (const [i, realm_id] of realms.entries()) {
    const sizes = ids.flatMap((_, n) => (n % 2 === i ? [100 + Math.floor(n / 2)] : []))
    const { blocks_size } = await owner.ok('realm_stats', { realm_id })
    assert.equal(
      blocks_size,
      sizes.reduce((sum, size) => sum + size, i === 0 ? 1000 : 0),
    )
  }
})

test('organizations that have realms, vlobs and blocks of the same ids share batches and nothing else', async () => {
  const { alice: other } = await client.org()
  const realm = await client.realm(owner, alice)
  await client.realm(await client.connect(other), other, realm)
  const ids = Array.from({ length: CONNECTIONS / 2 }, () => new Uuid())
  const connections = await Promise.all([alice, other].flatMap(device => ids.map(() => client.connect(device))))
  /** One command of each connection, all at once; both organizations say the same, but for the content. */
  const atOnce = (
    cmd: string,
    fields: (id: Uuid, content: Buffer) => { [field: string]: unknown },
    among: readonly Connection[] = connections,
  ) =>
    Promise.all(
      among.map(connection => {
        const i = connections.indexOf(connection)
        return connection.cmd(cmd, fields(ids[i % ids.length]!, Buffer.from(`${cmd.split('_')[0]} of ${i}`)))
      }),
    )
  const statuses = (replies: Reply[]) => [...new Set(replies.map(({ status }) => status))]
  const contents = (replies: Reply[]) => replies.map(({ blob, block }) => `${(blob ?? block) as Buffer}`)
  const expected = (kind: string) => connections.map((_, i) => `${kind} of ${i}`)
  const written = (vlob_id: Uuid, blob: Buffer) => ({ encryption_revision: 1, vlob_id, timestamp: Time.now(), blob })
  const readAt = (encryption_revision: number) =>
    atOnce('vlob_read', vlob_id => ({ encryption_revision, vlob_id, version: null, timestamp: null }))

  const vlobs = await atOnce('vlob_create', (id, blob) => ({ ...written(id, Buffer.of(1, ...blob)), realm_id: realm }))
  assert.deepEqual(statuses(vlobs), ['ok'])
  assert.deepEqual(statuses(await atOnce('vlob_update', (id, blob) => ({ ...written(id, blob), version: 2 }))), ['ok'])
  assert.deepEqual(contents(await readAt(1)), expected('vlob'))
  const create = (among?: readonly Connection[]) =>
    atOnce('block_create', (block_id, block) => ({ block_id, realm_id: realm, block }), among)
  for (const one of [connections.slice(ids.length), connections.slice(0, ids.length)])
    assert.deepEqual(statuses(await create(one)), ['ok'])
  assert.deepEqual(statuses(await create()), ['already_exists'])
  assert.deepEqual(contents(await atOnce('block_read', block_id => ({ block_id }))), expected('block'))

  // Of two revisions only the one that is asked for is read.
  const anew = { realm_id: realm, encryption_revision: 2 }
  const per_participant_message = { alice: randomBytes(10) }
  const keepers = [connections[0]!, connections.at(-1)!]
  for (const connection of keepers) {
    const started = { ...anew, timestamp: Time.now(), per_participant_message }
    await connection.ok('realm_start_reencryption_maintenance', started)
    const { batch } = await connection.ok('vlob_maintenance_get_reencryption_batch', { ...anew, size: 100 })
    const copies = (batch as { blob: Buffer }[]).map(item => ({ ...item, blob: Buffer.of(...item.blob, 0x21) }))
    await connection.ok('vlob_maintenance_save_reencryption_batch', { ...anew, batch: copies })
  }
  assert.deepEqual(contents(await readAt(1)), expected('vlob'))
  for (const connection of keepers) await connection.ok('realm_finish_reencryption_maintenance', anew)
  assert.deepEqual(
    contents(await readAt(2)),
    expected('vlob').map(content => `${content}!`),
  )
})

test('a command that the database fails, fails alone', async () => {
  await database.query(`CREATE FUNCTION refuse_unlucky() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN IF NEW.size = 13 THEN RAISE 'unlucky'; END IF; RETURN NEW; END $$`)
  await database.query(
    'CREATE TRIGGER unlucky BEFORE INSERT ON vlob_atom FOR EACH ROW EXECUTE FUNCTION refuse_unlucky()',
  )
  try {
    const unlucky = await writerIn(realm_id)
    const [failed] = await Promise.allSettled([update(unlucky, 2, randomBytes(13)), ...writers.map(next)])
    assert.ok(failed.status === 'rejected' || failed.value.status !== 'ok')
    for (const writer of writers) assert.equal((await read(writer)).version, writer.version)
    assert.equal((await read({ ...unlucky, connection: writers[0]!.connection })).version, 1)
  } finally {
    await database.query('DROP TRIGGER unlucky ON vlob_atom')
  }
})

test('system calls and answers of PostgreSQL for each command, at 16 connections', async () => {
  const each = async (
    operations: number,
    run: (writer: Writer) => Promise<unknown>,
  ): Promise<{ calls: number; sends: number }> => {
    const round = async (times: number) => {
      await Promise.all(
        writers.map(async writer => {
          for (let n = 0; n < times; n++) await run(writer)
        }),
      )
    }
    const total = operations * CONNECTIONS
    const measure = async () => {
      const [calls, sends] = [systemCalls(server.pid), proxy.sends]
      await round(operations)
      return { calls: (systemCalls(server.pid) - calls) / total, sends: (proxy.sends - sends) / total }
    }
    await round(20)
    // Where others keep the machine busy, fewer commands meet, and each pays more: the least is what they cost.
    const seen = [await measure(), await measure(), await measure()]
    return { calls: Math.min(...seen.map(s => s.calls)), sends: Math.min(...seen.map(s => s.sends)) }
  }
  const figures = {
    ping: await each(60, ({ connection }) => connection.ok('ping', { ping: 'x' })),
    read: await each(60, writer => read(writer)),
    update: await each(40, next),
    handshake: await each(10, async () => (await client.connect(alice)).close()),
  }
  const told = JSON.stringify(figures)
  assert.ok(figures.ping.calls <= 2.1, told)
  assert.ok(figures.read.calls <= 2.5 && figures.read.sends <= 0.3, told)
  assert.ok(figures.update.calls <= 3 && figures.update.sends <= 0.5, told)
  assert.ok(figures.handshake.calls <= 10, told)
})

test('a server that is killed under load loses no version that it acknowledged, and doubles none', async () => {
  const acknowledged = writers.map(() => 0)
  const killed = { yet: false }
  const load = Promise.all(
    writers.map(async (writer, i) => {
      const from = writer.version
      try {
        for (;;) {
          await next(writer)
          acknowledged[i] = writer.version - from
        }
      } catch (error) {
        assert.ok(killed.yet, `${error}`)
        writer.version = from
      }
    }),
  )
  while (acknowledged.some(versions => versions < 20)) await pause(5)
  killed.yet = true
  await server.end('SIGKILL')
  await load
  await server.start()
  const connection = await client.connect(alice)
  for (const [i, writer] of writers.entries()) {
    const { version } = await read({ ...writer, connection })
    const least = writer.version + acknowledged[i]!
    // One more may have been committed without a word.
    assert.ok(version === least || version === least + 1, `version ${version}, ${least} acknowledged`)
  }
  const broken = await database.query(`
    SELECT realm._id FROM realm JOIN realm_change ON realm_change.realm = realm._id GROUP BY realm._id
    HAVING count(*) <> realm.checkpoint OR max(index) <> realm.checkpoint
    UNION ALL
    SELECT vlob._id FROM vlob JOIN vlob_atom atom ON atom.vlob = vlob._id
    GROUP BY vlob._id, atom.encryption_revision
    HAVING count(*) <> vlob.version OR max(atom.version) <> vlob.version`)
  assert.deepEqual(broken, [])
})

/** Reads and writes of a process so far, sockets included. */
function systemCalls(pid: number): number {
  const io = readFileSync(`/proc/${pid}/io`, 'latin1')
  const figure = (name: string) => Number(new RegExp(`^${name}: (\\d+)$`, 'm').exec(io)?.[1])
  return figure('syscr') + figure('syscw')
}

/** In front of PostgreSQL; counts how often it has said that it is ready, which is when it sends what it has. */
async function countingProxy(databaseUrl: string): Promise<{ url: string; readonly sends: number; close(): void }> {
  const READY = Buffer.from([0x5a, 0, 0, 0, 5])
  const behind = new URL(databaseUrl)
  const counted = { sends: 0 }
  const proxy = createServer(socket => {
    const upstream = connect(Number(behind.port), behind.hostname)
    socket.pipe(upstream)
    upstream.on('data', (bytes: Buffer) => {
      for (let at = bytes.indexOf(READY); at >= 0; at = bytes.indexOf(READY, at + 1)) counted.sends++
      socket.write(bytes)
    })
    for (const side of [socket, upstream])
      side
        .setNoDelay(true)
        .on('error', () => {})
        .on('close', () => {
          socket.destroy()
          upstream.destroy()
        })
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const url = new URL(databaseUrl)
  url.hostname = '127.0.0.1'
  url.port = String((proxy.address() as AddressInfo).port)
  return {
    url: url.href,
    get sends() {
      return counted.sends
    },
    close: () => proxy.close(),
  }
}
