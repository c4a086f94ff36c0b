/** No command reads more rows because there are more that it does not answer with (DESIGN §12). Rows are counted, not time. */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { Databases, findPostgres, query } from './backing.ts'
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

const databases = new Databases(await findPostgres())
after(async () => {
  await stopServers()
  await databases.dropAll()
})

describe('costs grow with the answer', async () => {
  const databaseUrl = await databases.create('growth')
  await migrate(databaseUrl)
  const server = await startOneProcess(databaseUrl)
  const world = await GrowthWorld.create(databaseUrl, server)
  const measured = async (units: number): Promise<{ [name: string]: number }> => {
    await world.grow(units)
    const commands = await world.commands()
    const rows: { [name: string]: number } = {}
    for (const [name, command] of Object.entries(commands)) {
      const before = await rowsRead(databaseUrl)
      for (let n = 0; n < TIMES; n++) await command()
      rows[name] = ((await rowsRead(databaseUrl)) - before) / TIMES
    }
    return rows
  }
  const small = await measured(SMALL)
  const large = await measured(LARGE)
  world.close()
  for (const [name, rows] of Object.entries(small))
    test(`${name}: ${rows.toFixed(0)} rows`, () => {
      assert.ok(
        large[name]! <= rows * 1.2 + SLACK,
        `${rows} rows, but ${large[name]} in ${LARGE / SMALL} times the data`,
      )
    })
})

/** A plan is remembered once it was made; there may be a thousand times as much before the planner is told. */
describe('plans that were made for small tables', async () => {
  const databaseUrl = await databases.create('plans')
  await migrate(databaseUrl)
  for (const { name } of await query(databaseUrl, 'SELECT relid::regclass::text AS name FROM pg_stat_user_tables'))
    await query(databaseUrl, `ALTER TABLE ${name} SET (autovacuum_enabled = off)`)
  const server = await startOneProcess(databaseUrl)
  const world = await GrowthWorld.create(databaseUrl, server)
  await world.grow(1, { analyze: false })
  const before = await world.commands()
  for (let n = 0; n < TIMES_UNTIL_REMEMBERED; n++) for (const command of Object.values(before)) await command()
  await world.grow(LARGE, { analyze: false })
  const earlier = await readByIndex(databaseUrl)
  for (const command of Object.values(await world.commands())) await command()
  await rowsRead(databaseUrl)
  const later = await readByIndex(databaseUrl)
  world.close()
  for (const [index, rows] of Object.entries(later))
    test(`${index} is not read as a whole`, () => {
      const read = rows - (earlier[index] ?? 0)
      assert.ok(read <= MOST_BY_INDEX, `${read} entries by ${Object.keys(before).length} commands`)
    })
})

/** Sequential scans are off in the server's sessions; a table that is read whole is read by one of its indexes. */
async function readByIndex(databaseUrl: string): Promise<{ [index: string]: number }> {
  const rows = await query(
    databaseUrl,
    `SELECT indexrelname AS index, idx_tup_read AS rows FROM pg_stat_user_indexes
     WHERE indexrelname NOT IN ('outbox_pkey', 'realm_untallied')`,
  )
  return Object.fromEntries(rows.map(row => [String(row['index']), Number(row['rows'])]))
}

/** All rows and index entries that were ever read. PostgreSQL adds a session's up when it ends, so all are ended. */
async function rowsRead(databaseUrl: string): Promise<number> {
  const ended = await query(
    databaseUrl,
    `SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`,
  )
  const pids = ended.map(row => row['pid'])
  const alive = 'SELECT FROM pg_stat_activity WHERE pid = ANY($1::int[])'
  while ((await query(databaseUrl, alive, [pids])).length > 0);
  const [counted] = await query(
    databaseUrl,
    `SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname <> 'outbox')
       + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname <> 'outbox') AS rows`,
  )
  return Number(counted!['rows'])
}
