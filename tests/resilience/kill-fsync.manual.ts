/**
 * A server and its database, which syncs each commit, are killed at the same instant under load, `ROUNDS` times: every
 * version that a client was told `ok` for is there when both are back, and readable.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { TestDatabase } from '../harness/backing.ts'
import { type Connection, clientOf, Time, Uuid } from '../harness/client.ts'
import { Cluster, migrate, type Topology } from '../harness/launch.ts'
import { OwnPostgres } from '../harness/own-postgres.ts'

const ROUNDS = Number(process.env['ROUNDS'] ?? 5)
const WRITERS = 64
const LOAD_MS = 3_000

const postgres = await OwnPostgres.start({ settings: ['fsync=on', 'synchronous_commit=on'] })
after(() => postgres.stop())
const url = postgres.url()
const database: TestDatabase = { url, query: (...statement) => postgres.query(...statement), drop: async () => {} }
await migrate(url, { PATH: process.env.PATH })

type Written = { vlob_id: Uuid; blobs: Buffer[] }

/** Adds versions to a vlob of its own until its connection breaks. */
async function write(connection: Connection, realm_id: Uuid, { vlob_id, blobs }: Written): Promise<void> {
  for (;;) {
    const fields = { encryption_revision: 1, vlob_id, timestamp: Time.now(), blob: randomBytes(300) }
    const version = blobs.length + 1
    const command =
      version === 1
        ? connection.cmd('vlob_create', { realm_id, ...fields })
        : connection.cmd('vlob_update', { version, ...fields })
    const reply = await command.catch(() => undefined)
    if (!reply) return
    assert.equal(reply.status, 'ok')
    blobs.push(fields.blob)
  }
}

for (const topology of ['twins', 'workers'] as const satisfies Topology[])
  test(`what was acknowledged outlives the server and its database (${topology})`, { timeout: 600_000 }, async t => {
    const cluster = await Cluster.start({ topology, database, flags: ['--log-level=WARNING'] })
    const client = clientOf(cluster)
    try {
      const { alice } = await client.org()
      const owner = await client.connect(alice)
      const realms = await Promise.all(Array.from({ length: 8 }, () => client.realm(owner, alice)))
      let [acknowledged, lost] = [0, 0]
      for (let round = 1; round <= ROUNDS; round++) {
        const written: Written[] = []
        const writing = await Promise.all(
          Array.from({ length: WRITERS }, async (_, i) => {
            const own = { vlob_id: new Uuid(), blobs: [] }
            written.push(own)
            return { connection: await client.connect(alice), realm_id: realms[i % realms.length]!, own }
          }),
        )
        const load = Promise.all(writing.map(({ connection, realm_id, own }) => write(connection, realm_id, own)))
        await pause(LOAD_MS)
        const killed = postgres.down('SIGQUIT')
        for (const server of cluster.processes.values()) server.signal('SIGKILL')
        await Promise.all([killed, load])
        await postgres.up()
        for (const server of cluster.processes.values()) await server.restart('SIGKILL')
        const reader = await client.connect(alice)
        for (const { vlob_id, blobs } of written)
          for (const [i, blob] of blobs.entries()) {
            const read = { encryption_revision: 1, vlob_id, version: i + 1, timestamp: null }
            const reply = await reader.cmd('vlob_read', read)
            acknowledged++
            if (reply.status !== 'ok' || !blob.equals(reply['blob'] as Uint8Array)) lost++
          }
      }
      t.diagnostic(`${acknowledged} versions acknowledged in ${ROUNDS} rounds, ${lost} lost`)
      assert.ok(acknowledged > ROUNDS * WRITERS)
      assert.equal(lost, 0)
    } finally {
      await client.end()
      await cluster.stop()
    }
  })
