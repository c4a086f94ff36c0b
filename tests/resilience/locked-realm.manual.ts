/**
 * Somebody holds one realm's row for a minute, as a session of psql may do, and eight writers of that realm wait for it:
 * commands of other organizations stay as quick as before, and everything ends in its drain time. By hand, on a quiet machine:
 *
 *   node --conditions=development --test tests/resilience/locked-realm.manual.ts
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import pg from 'pg'
import { type Connection, clientOf, Time, Uuid } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'

const SECONDS = 60
const WRITERS = 8
const OTHERS = 4
const MAX_RATIO = 2

for (const topology of ['cluster', 'pairs'] as const)
  test(`one realm is locked for ${SECONDS} s: ${topology}`, { timeout: 400_000 }, async t => {
    const cluster = await Cluster.start({ topology })
    const client = clientOf(cluster)
    t.after(async () => {
      await client.end()
      await cluster.stop()
    })
    const others = await Promise.all(
      Array.from({ length: OTHERS }, async () => {
        const { alice } = await client.org()
        const connection = await client.connect(alice)
        const realm_id = await client.realm(connection, alice)
        const { vlob_id } = await client.vlob(connection, realm_id)
        return { connection, vlob_id, version: 1 }
      }),
    )
    const { alice } = await client.org()
    const owner = await client.connect(alice)
    const realm_id = await client.realm(owner, alice)

    const quiet = await load(others, SECONDS / 2)
    const psql = new pg.Client(cluster.database!.url)
    await psql.connect()
    await psql.query('BEGIN')
    await psql.query('SELECT FROM realm WHERE realm_id = $1 FOR UPDATE', [realm_id.toString()])
    let isLocked = true
    const writers = Array.from({ length: WRITERS }, () =>
      writeOn(
        () => client.connect(alice),
        realm_id,
        () => isLocked,
      ),
    )
    const locked = await load(others, SECONDS)
    isLocked = false
    await psql.query('ROLLBACK')
    await psql.end()
    await Promise.all(writers)
    await client.vlob(await client.connect(alice), realm_id)

    t.diagnostic(`p99 of other organizations: ${quiet.toFixed(1)} ms quiet, ${locked.toFixed(1)} ms while locked`)
    assert.ok(locked <= quiet * MAX_RATIO, `${quiet} ms, ${locked} ms`)
  })

type Other = { connection: Connection; vlob_id: Uuid; version: number }

/** 99th percentile of what each asks one after the other: a read, an update, a ping. Milliseconds. */
async function load(others: Other[], seconds: number): Promise<number> {
  const took: number[] = []
  const end = performance.now() + seconds * 1000
  await Promise.all(
    others.map(async other => {
      const { connection, vlob_id } = other
      const timed = async (ask: Promise<unknown>) => {
        const started = performance.now()
        await ask
        took.push(performance.now() - started)
      }
      while (performance.now() < end) {
        await timed(connection.ok('ping', { ping: 'x' }))
        await timed(connection.ok('vlob_read', { encryption_revision: 1, vlob_id, version: null, timestamp: null }))
        const version = ++other.version
        const update = { vlob_id, encryption_revision: 1, version, timestamp: Time.now(), blob: Buffer.from('x') }
        await timed(connection.ok('vlob_update', { ...update, sequester_blob: null }))
      }
    }),
  )
  took.sort((a, b) => a - b)
  return took[Math.floor(took.length * 0.99)]!
}

/** Writes into the locked realm, on a new connection each time that one is closed because nothing came of it. */
async function writeOn(open: () => Promise<Connection>, realm_id: Uuid, goesOn: () => boolean): Promise<void> {
  while (goesOn()) {
    try {
      const connection = await open()
      const blob = Buffer.from('x')
      const create = { realm_id, encryption_revision: 1, timestamp: Time.now(), blob, sequester_blob: null }
      while (goesOn()) await connection.cmd('vlob_create', { ...create, vlob_id: new Uuid() })
    } catch {
      // Closed with 1013: the realm did not become free in time.
    }
  }
}
