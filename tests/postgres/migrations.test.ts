/** Which databases `parsec backend migrate` and the server work on, and that a migration does not hold up those who work. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { after, beforeEach, test } from 'node:test'
import pg from 'pg'
import { createDatabase, isListening } from '../harness/backing.ts'
import { Child } from '../harness/child.ts'
import { NODE_ARGV } from '../harness/launch.ts'
import { freePort } from '../harness/ports.ts'

const FOLDER = new URL('../../services/metadata/migrations/', import.meta.url)
const FIRST = readFileSync(new URL('0001_initial.sql', FOLDER), 'utf8')
const FILES = readdirSync(FOLDER)
  .filter(file => file.endsWith('.sql'))
  .sort()

const database = await createDatabase()
after(() => database.drop())
beforeEach(() => database.query('DROP SCHEMA public CASCADE; CREATE SCHEMA public'))

const parsecOn = (url: string, command: string, ...options: string[]): Child =>
  new Child(command, process.execPath, [...NODE_ARGV, 'backend', command, `--db=${url}`, ...options], process.env)
const parsec = (command: string, ...options: string[]): Child => parsecOn(database.url, command, ...options)
const ended = async (child: Child) => {
  await child.exited
  return child
}
const migrate = () => ended(parsec('migrate'))
/** A command that needs the schema of this release, and nothing else. */
const work = () => ended(parsec('human_accesses', '--organization=Nobody'))
const NEEDS_NOTHING_MORE = /Nobody/

async function refused(reason: RegExp): Promise<void> {
  for (const child of await Promise.all([migrate(), work()])) {
    assert.equal(child.exitCode, 1, child.output)
    assert.match(child.output, reason)
  }
}

test('the database of an original server is named as such, with the way to take it over (07-takeover §2)', async () => {
  await database.query('CREATE TABLE organization (_id SERIAL PRIMARY KEY, organization_id VARCHAR(254))')
  await database.query('CREATE TABLE migration (_id INTEGER PRIMARY KEY, name VARCHAR(256), applied TIMESTAMPTZ)')
  await database.query(`INSERT INTO migration VALUES (2, 'add_migration_table', now()), (3, 'human_handle', now())`)
  await refused(/Error: .*original Parsec server \(schema level 3\).*parsec backend import/)
})
test('a table `migration` of another program is refused', async () => {
  await database.query('CREATE TABLE migration (id INTEGER PRIMARY KEY, version TEXT)')
  await refused(/Error: .*some other program/)
  await database.query('DROP TABLE migration')
  await database.query('CREATE TABLE migration (_id INTEGER PRIMARY KEY, name TEXT)')
  await database.query(`INSERT INTO migration VALUES (2, 'create_users')`)
  await refused(/Error: .*some other program/)
})
test('a database of another encoding is refused, with the way to one that is right', async () => {
  const latin = await createDatabase(undefined, `TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'`)
  try {
    const { exitCode, output } = await ended(parsecOn(latin.url, 'migrate'))
    assert.equal(exitCode, 1)
    assert.match(output, /^Error: the database has the encoding LATIN1: .*createdb .*UTF8/m)
  } finally {
    await latin.drop()
  }
})
test('names and checksums count, not only the number; more than this release has is fine, less is not', async () => {
  assert.equal((await migrate()).exitCode, 0)
  // While a newer release is rolled out it has migrated already.
  await database.query(`INSERT INTO migration VALUES (9001, '9001_newer', now(), repeat('0', 64))`)
  assert.match((await work()).output, NEEDS_NOTHING_MORE)
  const again = await migrate()
  assert.equal(again.exitCode, 0)
  assert.equal(again.output.match(/already applied/g)?.length, FILES.length)

  await database.query(`UPDATE migration SET checksum = repeat('0', 64) WHERE _id = 3`)
  await refused(/Error: .*0003_\w+ of the database differs/)
  await database.query(`UPDATE migration SET name = '0003_elsewhere' WHERE _id = 3`)
  await refused(/Error: .*migration 3 of the database is 0003_elsewhere/)
  await database.query('DELETE FROM migration WHERE _id = 3')
  const { exitCode, output } = await work()
  assert.equal(exitCode, 1)
  assert.match(output, /lacks 0003_\w+\.sql .*parsec backend migrate/)
})
test('a role that may read and write tables, and read sequences, serves; one that may not read these is told so', async () => {
  assert.equal((await migrate()).exitCode, 0)
  const role = `least_${randomBytes(4).toString('hex')}`
  const url = new URL(database.url)
  Object.assign(url, { username: role, password: 'least' })
  await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'least';
    GRANT USAGE ON SCHEMA public TO ${role};
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ${role};
    REVOKE SELECT ON ALL SEQUENCES IN SCHEMA public FROM ${role}`)
  const port = await freePort()
  const server = () =>
    parsecOn(
      url.href,
      'run',
      '--blockstore=MOCKED',
      '--administration-token=tok',
      `--port=${port}`,
      '--drain-seconds=0',
    )
  try {
    const refused = await ended(server())
    assert.equal(refused.exitCode, 1)
    assert.match(
      refused.output,
      /^Error: the role of --db may not read the sequence outbox__id_seq: GRANT SELECT ON ALL SEQ/m,
    )
    const { exitCode, output } = await ended(parsecOn(url.href, 'check'))
    assert.equal(exitCode, 1)
    assert.match(output, /FAILED .*the role lacks rights on outbox__id_seq → GRANT/)
    await database.query(`GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO ${role}`)
    assert.match((await ended(parsecOn(url.href, 'check'))).output, /^ok .*the role may read and write every table/m)
    const child = await server().until(() => isListening(port))
    await child.end()
    assert.equal(child.exitCode, 0, child.output)
  } finally {
    await database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
  }
})
test('a migration that needs a lock lets others pass, and goes on when it is free', async () => {
  await database.query(FIRST)
  const checksum = createHash('sha256').update(FIRST).digest('hex')
  await database.query('INSERT INTO migration VALUES (1, $1, now(), $2)', ['0001_initial', checksum])
  const holder = new pg.Client({ connectionString: database.url })
  await holder.connect()
  try {
    await holder.query('BEGIN')
    await holder.query('LOCK TABLE user_ IN ROW EXCLUSIVE MODE')
    const child = parsec('migrate', '--log-level=WARNING')
    await child.until(async () => /A migration waits .*0002_invitation/.test(child.output))
    assert.deepEqual(await database.query('SELECT FROM user_'), [])
    await holder.query('COMMIT')
    await child.exited
    assert.equal(child.exitCode, 0, child.output)
    assert.match((await work()).output, NEEDS_NOTHING_MORE)
  } finally {
    await holder.end()
  }
})
