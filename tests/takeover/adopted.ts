/** Organizations of the data sets that tests go on with after the takeover. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import type { TestDatabase } from '../harness/backing.ts'
import { type Connection, Context, Time, type Uuid } from '../harness/client.ts'
import { ADMINISTRATION_TOKEN } from '../harness/launch.ts'
import { expectedOf, keysOf, migrated, type Release } from './data-set.ts'
import { serve } from './server.ts'
import type { Facts, Json } from './snapshot.ts'

export type Chosen = {
  release: Release
  id: string
  facts: Facts
  seen: { [device_id: string]: { [label: string]: Json } }
}

/** A server on a database into which `take` imports, which tells its report; both end with the tests of the file. */
export async function adopt(name: string, take: (database: TestDatabase, folder: string) => Promise<string>) {
  const folder = await mkdtemp(join(tmpdir(), `${name}-`))
  const database = await migrated()
  const report = await take(database, folder)
  const server = await serve(database)
  const context = new Context({ url: server.url, token: ADMINISTRATION_TOKEN, target: 'ours', features: new Set() })
  after(async () => {
    await context.end()
    await server[Symbol.asyncDispose]()
    await database.drop()
    await rm(folder, { recursive: true, force: true })
  })
  return { folder, database, report, server, context }
}

/** With a realm of some vlobs that nobody archived, and two users' devices: the first one, or the one after. */
export function chooseFrom(release: Release, skip = 0): Chosen {
  let skipped = 0
  const expected = expectedOf(release)
  for (const [id, facts] of Object.entries(keysOf(release).organizations)) {
    const { devices } = expected[id] as { devices: Chosen['seen'] }
    const { realms, vlobs } = facts
    const isPlain = !/ARCHIVED|DELETION_PLANNED|realm_archived|"in_maintenance": ?true/.test(JSON.stringify(devices))
    if (realms.length === 1 && vlobs.length > 1 && facts.devices.length > 1 && isPlain && skipped++ === skip)
      return { release, id, facts, seen: devices }
  }
  throw new Error(`no organization of ${release} is fit`)
}

/** Each blob turned round, to the end, `size` at once; `progress` is what the owner's clients are told last. */
export async function encryptAgain(owner: Connection, realm_id: Uuid, database: TestDatabase, size = 5) {
  const { encryption_revision: current } = await owner.ok('realm_status', { realm_id })
  const encryption_revision = current + 1
  const start = { realm_id, encryption_revision, timestamp: Time.now() }
  const asked = await owner.cmd('realm_start_reencryption_maintenance', { ...start, per_participant_message: {} })
  assert.match(asked.status, /^participants?_mismatch$/)
  const participants = await database.query<{ user_id: string }>(
    `SELECT user_id FROM realm JOIN realm_user ON realm_user.realm = realm._id JOIN user_ ON user_._id = realm_user.user_
     WHERE realm_id = $1 AND role IS NOT NULL AND revoked_on IS NULL`,
    [String(realm_id)],
  )
  const message = randomBytes(20)
  const per_participant_message = Object.fromEntries(participants.map(({ user_id }) => [user_id, message]))
  await owner.ok('realm_start_reencryption_maintenance', { ...start, per_participant_message })
  const progress = await goOn(owner, realm_id, encryption_revision, size)
  return { encryption_revision, message, ...progress }
}

/** What is left of a re-encryption that is under way. */
export async function goOn(owner: Connection, realm_id: Uuid, encryption_revision: number, size: number) {
  const place = { realm_id, encryption_revision }
  let progress = { total: 0, done: 0 }
  for (;;) {
    const { batch } = await owner.ok('vlob_maintenance_get_reencryption_batch', { ...place, size })
    if (batch.length === 0) break
    const again = batch.map((entry: { vlob_id: Uuid; version: number; blob: Buffer }) => ({
      ...entry,
      blob: Buffer.from(entry.blob).reverse(),
    }))
    const { total, done } = await owner.ok('vlob_maintenance_save_reencryption_batch', { ...place, batch: again })
    progress = { total, done }
  }
  await owner.ok('realm_finish_reencryption_maintenance', place)
  return progress
}
