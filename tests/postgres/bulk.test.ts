/** Sessions for work in bulk: a server that falls silent is given up, one that has nothing to do is not. */
import assert from 'node:assert/strict'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { after, afterEach, test } from 'node:test'
import { OperatorError } from '@parsec/shared/errors'
import { BulkSession } from '@parsec/shared/postgres/bulk'
import { readDatabaseUrl } from '@parsec/shared/postgres/url'
import { createDatabase } from '../harness/backing.ts'
import { TcpProxy } from '../harness/tcp-proxy.ts'

const SILENCE_MS = 2_000
const ROWS = 200_000

const database = await createDatabase()
await database.query(
  'CREATE TABLE taken (data text); CREATE TABLE locked (data text); CREATE TABLE short (data varchar(1))',
)
const proxy = await TcpProxy.start(database.url)
afterEach(() => proxy.heal())
after(async () => {
  await proxy.close()
  await database.drop()
})
const open = (url = proxy.url) => BulkSession.open(readDatabaseUrl(url, {}), '--from', SILENCE_MS)
const manyRows = `SELECT repeat('x', 1000) FROM generate_series(1, ${ROWS})`
const isTold = (error: unknown) => {
  assert.ok(error instanceof OperatorError, String(error))
  assert.match(
    error.message,
    /^--from: the database 127\.0\.0\.1:\d+\/\w+ has been silent for 2 seconds.*--max-silence-seconds/,
  )
  return true
}
/** A sink that is slow as long as `gate` says. */
const slowly = (gate: () => Promise<unknown> | undefined) =>
  new Writable({
    write(_chunk, _encoding, done) {
      Promise.resolve(gate()).then(() => done(), done)
    },
  })

test('a statement that is not answered ends', async () => {
  await using session = await open()
  proxy.set({ kind: 'silent' })
  await assert.rejects(session.rows('SELECT 1'), isTold)
  await assert.rejects(session.rows('SELECT 1'), isTold, 'and so does what follows')
})

test('what fails says which database it was, whichever end of a copy sees it', async () => {
  await using source = await open(database.url)
  await using session = await BulkSession.open(readDatabaseUrl(database.url, {}), '--db', SILENCE_MS)
  const failed = (option: string) =>
    new RegExp(`^--${option}: the database 127\\.0\\.0\\.1:\\d+/\\w+ failed: [^:]+: run this again`)
  await assert.rejects(source.rows('SELECT 1 / 0'), { message: failed('from') })
  const late = source.read(`SELECT repeat('x', 100 / (5000 - n)) FROM generate_series(1, 5000) n`)
  await assert.rejects(pipeline(late, session.write('taken (data)')), { message: failed('from') })
  await assert.rejects(pipeline(source.read(manyRows), session.write('short (data)')), { message: failed('db') })
})

test('a session that nobody answers is not opened', async () => {
  proxy.set({ kind: 'silent' })
  await assert.rejects(open(), OperatorError)
})

test('rows that stop coming end their reader', async () => {
  await using session = await open()
  const rows = session.read(manyRows)
  const sink = slowly(() => void proxy.set({ kind: 'silent' }))
  await assert.rejects(pipeline(rows, sink), isTold)
})

test('rows that are not taken any more end their writer', async () => {
  await using source = await open(database.url)
  await using session = await open()
  const rows = source.read(manyRows)
  rows.once('data', () => proxy.set({ kind: 'silent' })).pause()
  await assert.rejects(pipeline(rows, session.write('taken (data)')), isTold)
})

test('a writer that has ended, and is not confirmed, ends', async () => {
  await using source = await open(database.url)
  await using session = await open()
  const held = await open(database.url)
  await held.run('BEGIN; LOCK TABLE locked IN ACCESS EXCLUSIVE MODE')
  await assert.rejects(pipeline(source.read('SELECT 1::text'), session.write('locked (data)')), isTold)
  await held.close()
})

test('who waits for its other side, or for nothing, has all the time', async () => {
  await using idle = await open()
  await using reader = await open()
  await using writer = await open()
  await idle.run('BEGIN')
  // Twice as long as the silence that is borne.
  const twice = async () => {
    for (let n = 0; n < 2; n++) {
      await using session = await open()
      await assert.rejects(session.rows('SELECT pg_sleep(60)'), isTold)
    }
  }
  let pause: Promise<void> | undefined
  const rows = reader.read(manyRows)
  await pipeline(
    rows,
    slowly(() => (pause ??= twice())),
  )
  assert.equal(rows.rowCount, ROWS)
  pause = undefined
  const row = Buffer.concat(await reader.read("SELECT 'x'").toArray())
  const source = async function* () {
    yield row.subarray(0, 10)
    await twice()
    yield row.subarray(10)
  }
  const sink = writer.write('taken (data)')
  await pipeline(Readable.from(source()), sink)
  assert.equal(sink.rowCount, 1)
  assert.deepEqual(await idle.rows('SELECT 1 AS one'), [{ one: 1 }])
})
