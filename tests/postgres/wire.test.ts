/** The client of `postgres/wire.ts` beside `pg`: the same statements, the same results; and what `pg` cannot do (ADR 8). */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { after, before, test } from 'node:test'
import { decode, encode } from '@parsec/shared/codec/msgpack'
import { DateTime, Uuid } from '@parsec/shared/codec/values'
import { giveBack, spareMemory } from '@parsec/shared/lent'
import { limits } from '@parsec/shared/limits'
import { adopted } from '@parsec/shared/postgres/connection'
import { openInlet } from '@parsec/shared/postgres/socket'
import { readDatabaseUrl } from '@parsec/shared/postgres/url'
import { WireClient } from '@parsec/shared/postgres/wire'
import pg from 'pg'
import { createDatabase } from '../harness/backing.ts'

const id = Uuid.parse('0123456789abcdef0123456789abcdef')!
const instant = DateTime.parse('2026-02-03T04:05:06.789012Z')!
const old = DateTime.parse('1815-06-18T11:30:00.000001Z')!
const small = randomBytes(300)

/** Whatever the product's statements take and return. */
const STATEMENTS: [text: string, values: unknown[]][] = [
  ['SELECT 1::bigint AS big, 2::int AS int, 3::smallint AS small, 4::oid AS oid, true AS yes, false AS no', []],
  [
    'SELECT -1::bigint AS a, 9007199254740991::bigint AS b, -9007199254740991::bigint AS c, 4294967296::bigint AS d',
    [],
  ],
  ['SELECT 1.5::float8 AS double, 0.25::float4 AS single, NULL::bigint AS nothing', []],
  [
    "SELECT 'é\u{1f600}'::text AS text, 'x'::varchar AS varchar, 'y'::char(3) AS padded, 'n'::name AS name, 'lit' AS unknown",
    [],
  ],
  ['SELECT $1::text AS a, $2::text AS b, $3::text AS c', ['', 'ünï\u{1f600}', 'it\'s "quoted" \\ {} ,']],
  ['SELECT $1::bigint AS a, $2::int AS b, $3::boolean AS c, $4::bigint AS d', [2 ** 52, -7, true, 12345678901n]],
  [
    'SELECT $1::uuid AS id, $2::timestamptz AS at, $3::timestamptz AS old, $4::bytea AS bytes',
    [id, instant, old, small],
  ],
  ['SELECT $1::uuid AS id, $2::timestamptz AS at, $3::bytea AS bytes, $4::text AS text', [null, null, null, undefined]],
  ['SELECT $1::bytea AS empty, $2::bytea AS large', [Buffer.alloc(0), randomBytes(70_000)]],
  ['SELECT n FROM unnest($1::bigint[]) AS t (n)', [[3, null, 1]]],
  [
    'SELECT * FROM unnest($1::uuid[], $2::text[]) AS t (id, word)',
    [
      [id, Uuid.random()],
      ['a"b\\c,{}', ''],
    ],
  ],
  [
    'SELECT * FROM unnest($1::bytea[], $2::timestamptz[]) AS t (bytes, at)',
    [
      [small, Buffer.alloc(0)],
      [instant, old],
    ],
  ],
  ['SELECT n FROM unnest($1::bytea[]) AS t (n)', [[]]],
  ['SELECT id FROM unnest($1::uuid[]) AS t (id)', [[null, id]]],
  ['SELECT $1::bigint = ANY($2::bigint[]) AS is_in', [5, [4, 5]]],
  ['SELECT g FROM generate_series(1, 1000) g', []],
  ['SELECT FROM generate_series(1, 3)', []],
  ['SELECT pg_advisory_xact_lock(77)', []],
  ['SELECT coalesce(sum(n), 0)::bigint AS sum FROM generate_series(1, $1::int) n', [10]],
  [
    "SELECT ARRAY['a', NULL, 'b']::text[] AS texts, ARRAY[1, 2]::smallint[] AS smalls, '{}'::int[] AS none, ARRAY[1.5]::float8[] AS doubles",
    [],
  ],
  ["SELECT json_build_object('a', 1, 'b', ARRAY['x', NULL]) AS json, '{\"n\": [true]}'::jsonb AS jsonb", []],
  ['INSERT INTO thing (id, body) VALUES ($1, $2) ON CONFLICT DO NOTHING', [id, small]],
  ['INSERT INTO thing (id, body) VALUES ($1, $2) ON CONFLICT DO NOTHING', [id, small]],
  ['UPDATE thing SET body = $1 WHERE id = $2 RETURNING id, length(body) AS length', [small, id]],
  ['DELETE FROM thing WHERE id = $1', [id]],
]

/** `pg` reads these as the product wants them. */
const parsers = new Map<number, (text: string) => unknown>([
  [20, Number],
  [1184, text => DateTime.parse(text)],
  [2950, text => Uuid.parse(text)],
])
const types = {
  getTypeParser: (oid: number) => parsers.get(oid) ?? pg.types.getTypeParser(oid as never),
} as pg.CustomTypesConfig

const database = await createDatabase()
const open: pg.Client[] = []
before(async () => {
  await database.query('CREATE TABLE thing (id uuid PRIMARY KEY, body bytea NOT NULL)')
})
after(async () => {
  await Promise.all(open.map(client => client.end().catch(() => {})))
  await database.drop()
})

/** On a socket into which bytes are read where they belong, as the server's are without TLS, or on any other. */
const SOCKETS = ['ours', 'any'] as const
async function wire(url = database.url, kind: (typeof SOCKETS)[number] = 'ours'): Promise<pg.Client> {
  const target = readDatabaseUrl(url)
  const socket = kind === 'ours' ? await openInlet(target, target.hosts[0]!, false, target.connectMs) : undefined
  const client = new WireClient({ connectionString: url, ...(socket && { stream: () => adopted(socket) }) })
  open.push(client)
  client.on('error', () => {})
  await client.connect()
  return client
}
const names = new Map<string, string>()
const named = (text: string, values: unknown[] = []) => {
  if (!names.has(text)) names.set(text, `t${names.size}`)
  return { name: names.get(text)!, text, values }
}

test('gives what pg gives, prepared for the first time and again', async () => {
  const plain = new pg.Client({ connectionString: database.url, types })
  open.push(plain)
  await plain.connect()
  for (const kind of SOCKETS) {
    const ours = await wire(database.url, kind)
    for (const round of [1, 2]) {
      const expected = await results(plain)
      for (const [i, result] of (await results(ours)).entries())
        assert.deepEqual(result, expected[i], `${STATEMENTS[i]![0]}, round ${round}`)
    }
  }
})

/** Of all statements, one after the other: the last ones leave the table as it was. */
async function results(client: pg.Client): Promise<object[]> {
  const all: object[] = []
  for (const [text, values] of STATEMENTS) {
    const { rows, rowCount, command } = await client.query(named(text, values))
    all.push({ rows, rowCount, command })
  }
  return all
}

test('gives the same however the bytes are cut', async () => {
  const direct = await wire()
  for (const size of [1, 3, 7, 1000]) {
    const cutter = await cutInto(size)
    for (const kind of SOCKETS) {
      const cut = await wire(cutter.url, kind)
      assert.deepEqual(await results(cut), await results(direct), `${size}`)
    }
    cutter.close()
  }
})

test('a block of 8 MiB goes to the database and back as bytes', async () => {
  const block = randomBytes(8 * 1024 * 1024)
  for (const kind of SOCKETS) {
    const client = await wire(database.url, kind)
    const { rows } = await client.query<{ bytes: Buffer; digest: Buffer }>(
      named('SELECT $1::bytea AS bytes, sha256($1::bytea) AS digest', [block]),
    )
    assert.ok(rows[0]!.bytes.equals(block))
    assert.ok(rows[0]!.digest.equals(createHash('sha256').update(block).digest()))
  }
})

test('values of all lengths in one result, which stay what they are while more is read', async () => {
  const lengths = [0, 1, 16_000, 16_384, 16_385, 65_000, 65_536, 65_547, 200_000, 524_288]
  const values = lengths.map(length => randomBytes(length))
  for (const kind of SOCKETS) {
    const client = await wire(database.url, kind)
    const many = named('SELECT value FROM unnest($1::bytea[]) AS t (value)', [values])
    const one = named('SELECT $1::bytea AS value')
    const got = await Promise.all([
      client.query<{ value: Buffer }>(many),
      ...values.map(value => client.query<{ value: Buffer }>({ ...one, values: [value] })),
      client.query<{ value: Buffer }>(many),
    ])
    assert.deepEqual(
      got.flatMap(({ rows }) => rows.map(({ value }) => value)),
      [...values, ...values, ...values],
    )
  }
})

test('a block goes into a reply where it was read, and its memory to the next one once that is sent', async () => {
  const client = await wire()
  const [block, next] = [randomBytes(524_288), randomBytes(524_288)]
  const read = async (value: Buffer): Promise<Buffer> =>
    (await client.query<{ block: Buffer }>(named('SELECT $1::bytea AS block', [value]))).rows[0]!.block
  const got = await read(block)
  const reply = encode({ status: 'ok', block: got })
  assert.deepEqual(decode(reply), decode(encode({ status: 'ok', block })))
  assert.equal(reply.buffer, got.buffer)
  const kept = spareMemory()
  giveBack(reply)
  assert.ok(spareMemory() > kept)
  assert.equal(got.length, 0)
  assert.ok((await read(next)).equals(next))
  assert.equal(spareMemory(), kept)
  assert.equal(got.length, 0)
})

test('a result beyond its limit fails its statement only, whether its rows are many or large, and is not kept', async () => {
  const mib = 1024 * 1024
  const row = "$1::bigint AS size, repeat('x', $1::int) AS text FROM generate_series(1, $2::int)"
  const most = limits.result.value
  for (const kind of SOCKETS) {
    const client = await wire(database.url, kind)
    for (const [size, count] of [
      [1, 1_000_000],
      [mib, most / mib],
      [most, 1],
    ] as const) {
      const [large, next] = await Promise.allSettled([
        client.query(named(`SELECT ${row}`, [size, count])),
        client.query(named('SELECT $1::int AS n', [5])),
      ])
      assert.match(String((large as PromiseRejectedResult).reason), /^RangeError: result of more than/)
      assert.deepEqual((next as PromiseFulfilledResult<pg.QueryResult>).value.rows, [{ n: 5 }])
    }
    assert.equal((await client.query(named(`SELECT ${row}`, [mib, 100]))).rows.length, 100)
  }
})

test('statements of one turn: outside a transaction each stands alone', async () => {
  const client = await wire()
  const [good, bad, later] = await Promise.allSettled([
    client.query(named('INSERT INTO thing VALUES ($1, $2)', [Uuid.random(), small])),
    client.query(named('SELECT 1 / $1::int AS n', [0])),
    client.query(named('SELECT $1::int AS n', [5])),
  ])
  assert.equal(good.status, 'fulfilled')
  assert.equal((bad as PromiseRejectedResult).reason.code, '22012')
  assert.deepEqual((later as PromiseFulfilledResult<pg.QueryResult>).value.rows, [{ n: 5 }])
})

test('in a transaction nothing is run after a failure, and nothing of it stays', async () => {
  const client = await wire()
  const key = Uuid.random()
  const results = await Promise.allSettled([
    client.query(named('BEGIN')),
    client.query(named('INSERT INTO thing VALUES ($1, $2)', [key, small])),
    client.query(named('INSERT INTO thing VALUES ($1, $2)', [key, small])),
    client.query(named('SELECT count(*) AS never FROM thing', [])),
    client.query(named('COMMIT')),
  ])
  assert.deepEqual(
    results.map(result => (result.status === 'fulfilled' ? 'ok' : result.reason.code)),
    ['ok', 'ok', '23505', '23505', '23505'],
  )
  const failure = (results[2] as PromiseRejectedResult).reason
  assert.equal(failure.constraint, 'thing_pkey')
  assert.equal((await client.query(named('ROLLBACK'))).command, 'ROLLBACK')
  assert.deepEqual((await client.query(named('SELECT FROM thing WHERE id = $1', [key]))).rows, [])
  // What was skipped is prepared when it is asked for again
  assert.equal((await client.query(named('SELECT count(*) AS never FROM thing', []))).rowCount, 1)
})

test('a failure of the commit fails the statement that it commits', async () => {
  await database.query('CREATE TABLE late (n int, CONSTRAINT once UNIQUE (n) DEFERRABLE INITIALLY DEFERRED)')
  const client = await wire()
  await client.query(named('INSERT INTO late VALUES ($1)', [1]))
  await assert.rejects(client.query(named('INSERT INTO late VALUES ($1)', [1])), { code: '23505' })
  assert.equal((await client.query(named('SELECT n FROM late'))).rowCount, 1)
})

test('several statements in one text', async () => {
  const client = await wire()
  await client.query('CREATE TABLE several (n int); INSERT INTO several VALUES (1), (2);')
  assert.deepEqual((await client.query(named('SELECT n FROM several'))).rows, [{ n: 1 }, { n: 2 }])
  await assert.rejects(client.query('INSERT INTO several VALUES (3); SELECT nothing'), { code: '42703' })
  assert.equal((await client.query(named('SELECT n FROM several'))).rowCount, 2)
})

test('a table that changed under a prepared statement costs one failure', async () => {
  await database.query('CREATE TABLE moving (n int)')
  const client = await wire()
  const all = named('SELECT * FROM moving')
  await client.query(all)
  await database.query('ALTER TABLE moving ADD COLUMN word text')
  await assert.rejects(client.query(all), { code: '0A000' })
  await database.query("INSERT INTO moving VALUES (1, 'x')")
  assert.deepEqual((await client.query(all)).rows, [{ n: 1, word: 'x' }])
})

test('what cannot be sent or read is refused by name, and costs nobody else anything', async () => {
  const client = await wire()
  await assert.rejects(client.query(named('SELECT $1::text AS x', [() => {}])), /parameter of type function/)
  assert.deepEqual((await client.query(named('SELECT $1::int AS n', [5]))).rows, [{ n: 5 }])
  const [unread, next] = await Promise.allSettled([
    client.query(named('SELECT 1.5::numeric AS x')),
    client.query(named('SELECT $1::int AS n', [6])),
  ])
  assert.match((unread as PromiseRejectedResult).reason.message, /type 1700 .*cast it/)
  assert.deepEqual((next as PromiseFulfilledResult<pg.QueryResult>).value.rows, [{ n: 6 }])
})

test('a lost connection fails all that waits for it, with the reason that the server gave', async () => {
  const client = await wire()
  const { rows } = await client.query<{ pid: number }>(named('SELECT pg_backend_pid() AS pid'))
  const waiting = Promise.allSettled([
    client.query(named('SELECT pg_sleep(60)')),
    client.query(named('SELECT $1::int AS n', [5])),
  ])
  await database.query('SELECT pg_terminate_backend($1)', [rows[0]!.pid])
  for (const result of await waiting) {
    assert.equal(result.status, 'rejected')
    assert.equal(result.reason.code, '57P01')
  }
  await assert.rejects(client.query(named('SELECT $1::int AS n', [5])), /terminated/)
})

test('closing gives up what still runs', async () => {
  const client = await wire()
  const waiting = client.query(named('SELECT pg_sleep(60)'))
  await Promise.all([assert.rejects(waiting, /terminated/), client.end()])
})

/** A way to the database that passes its bytes on in pieces of `size`. */
async function cutInto(size: number): Promise<{ url: string; close(): void }> {
  const target = new URL(database.url)
  const server = createServer(client => {
    const upstream = connect(Number(target.port), target.hostname)
    client.pipe(upstream)
    upstream.on('data', (bytes: Buffer) => {
      for (let at = 0; at < bytes.length; at += size) client.write(bytes.subarray(at, at + size))
    })
    for (const socket of [client, upstream])
      socket
        .setNoDelay(true)
        .on('error', () => {})
        .on('close', () => {
          client.destroy()
          upstream.destroy()
        })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = new URL(database.url)
  url.port = String((server.address() as AddressInfo).port)
  return { url: url.href, close: () => server.close() }
}
