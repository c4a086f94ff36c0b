/** No command reads more rows or blocks because there are more that it does not answer with (DESIGN §12). They are counted, not time. */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { Databases, findPostgres, query } from './backing.ts'
import { type DatabaseWork, databaseWork, workEach } from './database-work.ts'
import { GrowthWorld } from './growth-world.ts'
import { migrate, startOneProcess, stopServers } from './server.ts'

const SMALL = 20
const LARGE = 600
/** How often a command is sent between two looks. */
const TIMES = 2
/** PostgreSQL plans a statement for its values five times. */
const TIMES_UNTIL_REMEMBERED = 12
/** More than all commands together have to read, `organization_stats` and its tally of 1000 realms among them. */
const MOST_BY_INDEX = 1_500
/** Rows that make no difference: an index's page with dead entries, the sweep of a table that is empty. */
const SLACK = 25
/** Blocks likewise; the server's own sweeps come when they are due. An index of more entries may have one more level. */
const BLOCKS_SLACK = 100

const databases = new Databases(await findPostgres())
after(async () => {
  await stopServers()
  await databases.dropAll()
})

describe('costs grow with the answer', async () => {
  const databaseUrl = await databases.create('growth')
  await migrate(databaseUrl)
  await withoutAutovacuum(databaseUrl)
  const server = await startOneProcess(databaseUrl)
  const world = await GrowthWorld.create(databaseUrl, server)
  const measured = async (units: number): Promise<{ [name: string]: DatabaseWork }> => {
    await world.grow(units)
    const work: { [name: string]: DatabaseWork } = {}
    for (const [name, command] of Object.entries(await world.commands()))
      work[name] = await workEach(databaseUrl, TIMES, command)
    return work
  }
  const small = await measured(SMALL)
  const large = await measured(LARGE)
  world.close()
  for (const [name, { rows, blocks }] of Object.entries(small))
    test(`${name}: ${rows.toFixed(0)} rows, ${blocks.toFixed(0)} blocks`, () => {
      const now = large[name]!
      const text = `${rows} rows in ${blocks} blocks, but ${now.rows} in ${now.blocks} in ${LARGE / SMALL} times the data`
      assert.ok(now.rows <= rows * 1.2 + SLACK, text)
      assert.ok(now.blocks <= blocks * 1.5 + BLOCKS_SLACK, text)
    })
})

/** A plan is remembered once it was made; there may be a thousand times as much before the planner is told. */
describe('plans that were made for small tables', async () => {
  const { read: before } = await readAfterGrowth('plans', { asked: false })
  const { read: after, commands } = await readAfterGrowth('plans_asked', { asked: true })
  for (const [index, rows] of Object.entries(after))
    test(`${index} is not read as a whole`, () => {
      const read = rows - before[index]!
      assert.ok(read <= MOST_BY_INDEX, `${read} entries by ${commands} commands`)
    })
})

/**
 * What has been read by each index of a database that grew when its server had made its plans, and, when `asked`, after
 * each command once more: what a session has read counts at the latest when it ends, and its plans end with it.
 */
async function readAfterGrowth(
  database: string,
  { asked }: { asked: boolean },
): Promise<{ read: { [index: string]: number }; commands: number }> {
  const databaseUrl = await databases.create(database)
  await migrate(databaseUrl)
  await withoutAutovacuum(databaseUrl)
  const server = await startOneProcess(databaseUrl)
  const world = await GrowthWorld.create(databaseUrl, server)
  await world.grow(1, { analyze: false })
  const small = Object.values(await world.commands())
  for (let n = 0; n < TIMES_UNTIL_REMEMBERED; n++) for (const command of small) await command()
  await world.grow(LARGE, { analyze: false })
  const large = Object.values(await world.commands())
  if (asked) for (const command of large) await command()
  await databaseWork(databaseUrl)
  world.close()
  return { read: await readByIndex(databaseUrl), commands: large.length }
}

/** It would come when it likes, and read. */
async function withoutAutovacuum(databaseUrl: string): Promise<void> {
  for (const { name } of await query(databaseUrl, 'SELECT relid::regclass::text AS name FROM pg_stat_user_tables'))
    await query(databaseUrl, `ALTER TABLE ${name} SET (autovacuum_enabled = off)`)
}

/** Sequential scans are off in the server's sessions; a table that is read whole is read by one of its indexes. */
async function readByIndex(databaseUrl: string): Promise<{ [index: string]: number }> {
  const rows = await query(
    databaseUrl,
    `SELECT indexrelname AS index, idx_tup_read AS rows FROM pg_stat_user_indexes
     WHERE indexrelname NOT IN ('outbox_pkey', 'realm_untallied')`,
  )
  return Object.fromEntries(rows.map(row => [String(row['index']), Number(row['rows'])]))
}
