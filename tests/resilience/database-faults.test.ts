/** The pool of database connections, on a real PostgreSQL behind a network that fails: every wait ends, and it recovers. */
import assert from 'node:assert/strict'
import { after, afterEach, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { Budget } from '@parsec/shared/budget'
import { Unavailable } from '@parsec/shared/errors'
import { Database, type DatabaseOptions } from '@parsec/shared/postgres/database'
import { fragment, type Queryable, sql } from '@parsec/shared/postgres/sql'
import { readDatabaseUrl } from '@parsec/shared/postgres/url'
import { type Line, recordingLog } from '../blockstore/service.ts'
import { createDatabase } from '../harness/backing.ts'
import { TcpProxy } from '../harness/tcp-proxy.ts'

const backing = await createDatabase()
const proxy = await TcpProxy.start(backing.url)
await backing.query('CREATE TABLE thing (_id INTEGER PRIMARY KEY, name TEXT NOT NULL)')
await backing.query("INSERT INTO thing VALUES (1, 'one'), (2, 'two')")
const open = new Set<Database>()
afterEach(async () => {
  proxy.heal()
  await Promise.all([...open].map(database => database.close()))
  open.clear()
})
after(async () => {
  await proxy.close()
  await backing.drop()
})

function use(options: Partial<DatabaseOptions> = {}, log: Line[] = []): Database {
  // However busy the machine is.
  const target = { ...readDatabaseUrl(proxy.url), connectMs: 30_000 }
  const database = new Database({ target, minConnections: 0, maxConnections: 4, ...options }, recordingLog(log))
  open.add(database)
  return database
}
const NAME = sql`SELECT name FROM thing WHERE _id = 1`
const SLEEP = fragment`pg_sleep(60)`
const sleeping = async () =>
  (
    await backing.query(`SELECT FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'
    AND query LIKE '%pg_sleep(60)%' AND pid <> pg_backend_pid()`)
  ).length
async function until(check: () => Promise<boolean>): Promise<void> {
  while (!(await check())) await pause(20)
}
/** As often as clients would: each attempt has the time of a command. */
async function eventually(database: Database): Promise<void> {
  for (;;) {
    const budget = new Budget(5_000)
    try {
      assert.deepEqual(await database.within(budget).one(NAME), { name: 'one' })
      return
    } catch (error) {
      assert.ok(error instanceof Unavailable, String(error))
      await pause(50)
    } finally {
      budget.end()
    }
  }
}

test('a connection that dies inside a transaction rejects its caller, and nothing else', async () => {
  const database = use()
  for (const kill of [() => proxy.reset(), () => proxy.halfClose(), terminate]) {
    const work = database.transaction(async tx => {
      await tx.run(sql`UPDATE thing SET name = 'two' WHERE _id = 2`)
      const asleep = tx.run(sql`SELECT ${SLEEP}`)
      await until(async () => (await sleeping()) === 1)
      await kill()
      await asleep
    })
    await assert.rejects(work, Unavailable)
    await eventually(database)
    assert.equal(database.state, 'connected')
    // PostgreSQL notices, too, although it had nothing to say.
    await until(async () => (await sleeping()) === 0)
  }
})
test('… also when it dies between two statements', async () => {
  const database = use()
  const work = database.transaction(async tx => {
    await tx.run(sql`UPDATE thing SET name = 'two' WHERE _id = 2`)
    await terminate()
    await until(async () => proxy.open === 0)
    return 'unaware'
  })
  await assert.rejects(work, Unavailable)
  assert.equal(database.state, 'lost')
  await eventually(database)
})
const terminate = async () =>
  void (await backing.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()`))

test('when a budget is over its caller is free, the queue is left, and what runs is cancelled', async () => {
  const database = use({ maxConnections: 2 })
  const budget = new Budget(60_000)
  const asked = Array.from({ length: 8 }, () => database.within(budget).one(sql`SELECT ${SLEEP}`))
  const inTransaction = database.within(budget).transaction(tx => tx.one(sql`SELECT ${SLEEP}`))
  const rejected = Promise.all([...asked, inTransaction].map(work => assert.rejects(work, /enough/)))
  await until(async () => (await sleeping()) === 2)
  assert.equal(database.statistics.waiting, 7)
  budget.cancel(new Unavailable('enough'))
  await rejected
  assert.equal(database.statistics.waiting, 0)
  budget.end()
  await eventually(database)
  await until(async () => (await sleeping()) === 0)
})
test('who waits for a connection is served in order, and no more are opened than there is use for', async () => {
  const database = use({ maxConnections: 2 })
  for (let i = 0; i < 3; i++) await database.one(NAME)
  assert.equal(database.statistics.connections, 1)
  const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const holding = [first, second].map(({ promise }) => database.transaction(() => promise))
  const served: string[] = []
  const waiting = ['a', 'b', 'c'].map(name => database.transaction(async () => void served.push(name)))
  await until(async () => database.statistics.connections + database.statistics.waiting === 5)
  const before = [...served]
  first.resolve()
  await Promise.all(waiting)
  second.resolve()
  await Promise.all(holding)
  assert.deepEqual([before, served], [[], ['a', 'b', 'c']])
  const { waitedSeconds, ...now } = database.statistics
  assert.deepEqual(now, { connections: 2, idle: 2, waiting: 0 })
  assert.ok(waitedSeconds > 0)
})
test('a short statement that nobody waits for any more costs no connection', async () => {
  const database = use({ maxConnections: 1 })
  const pid = async () => (await database.one<{ pid: number }>(sql`SELECT pg_backend_pid() AS pid`))!.pid
  const before = await pid()
  const budget = new Budget(60_000)
  const work = database
    .within(budget)
    .transaction(tx => tx.run(sql`UPDATE thing SET name = 'lost' WHERE _id = 2`).then(() => new Promise(() => {})))
  await until(async () => database.statistics.idle === 0)
  budget.cancel(new Unavailable('enough'))
  await assert.rejects(work, /enough/)
  assert.equal(await pid(), before)
  assert.deepEqual(await database.one(sql`SELECT name FROM thing WHERE _id = 2`), { name: 'two' })
})
test('a statement without a budget is not waited for for ever', async () => {
  const database = use({ maxConnections: 1, statementMs: 300 })
  await assert.rejects(database.one(sql`SELECT ${SLEEP}`), Unavailable)
  await eventually(database)
  await until(async () => (await sleeping()) === 0)
})

test('a failover without RST: old connections are silent, new ones fine', async () => {
  const database = use({ maxConnections: 4, statementMs: 1_000 })
  const all = Promise.withResolvers<void>()
  let there = 0
  const meet = async () => {
    if (++there === 4) all.resolve()
    await all.promise
  }
  await Promise.all(Array.from({ length: 4 }, () => database.transaction(meet)))
  assert.equal(database.statistics.connections, 4)
  proxy.set({ kind: 'silent', only: 'open' })
  // One statement without answer, and no idle connection is believed any more.
  await assert.rejects(database.one(NAME), Unavailable)
  await eventually(database)
  await Promise.all(Array.from({ length: 8 }, () => database.one(NAME)))
  await until(async () => proxy.speaking === database.statistics.connections)
})
test('… and when everything is silent, everybody is told in time; then it heals', async () => {
  const target = { ...readDatabaseUrl(proxy.url), connectMs: 2_000 }
  const database = use({ target, statementMs: 300 })
  await database.one(NAME)
  proxy.set({ kind: 'silent' })
  await assert.rejects(database.one(NAME), Unavailable)
  await assert.rejects(
    database.transaction(tx => tx.one(NAME)),
    Unavailable,
  )
  assert.equal(database.state, 'lost')
  proxy.heal()
  await eventually(database)
  assert.equal(database.state, 'connected')
})
test('a database that is away is not told as one that gives no further connection', async () => {
  const log: Line[] = []
  const target = { ...readDatabaseUrl(proxy.url), connectMs: 2_000 }
  const database = use({ target }, log)
  proxy.set({ kind: 'refuse' })
  const asked = await Promise.allSettled(Array.from({ length: 8 }, () => database.one(NAME)))
  assert.deepEqual([...new Set(asked.map(({ status }) => status))], ['rejected'])
  assert.deepEqual(
    log.map(({ event }) => event),
    ['Database connection lost'],
  )
})
test('a body that throws on a silent connection does not wait for its rollback', async () => {
  const database = use()
  const work = database.transaction(async tx => {
    await tx.one(NAME)
    proxy.set({ kind: 'silent' })
    throw new RangeError('of the body')
  })
  await assert.rejects(work, RangeError)
  proxy.heal()
  await eventually(database)
})
test('closing does not wait for a server that is silent', async () => {
  const database = use({ statementMs: 500 })
  await database.one(NAME)
  proxy.set({ kind: 'silent' })
  const work = database.one(NAME)
  await Promise.all([assert.rejects(work, Unavailable), database.close()])
  open.delete(database)
  await assert.rejects(database.one(NAME), Unavailable)
})

test('a transaction tells its first failure, whatever followed from it', async () => {
  const database = use()
  const late = (tx: Queryable) => {
    void tx.run(sql`INSERT INTO thing VALUES (1, 'twice')`)
    return tx.one(NAME)
  }
  const twice = (tx: Queryable) => {
    void tx.run(sql`INSERT INTO thing VALUES (1, 'twice')`)
    return pause(50).then(() => tx.one(NAME))
  }
  for (const body of [late, twice]) await assert.rejects(database.transaction(body), { code: '23505' })
  await assert.rejects(
    database.transaction(async tx => void tx.run(sql`INSERT INTO thing VALUES (1, 'unseen')`)),
    { code: '23505' },
  )
})
test('a lock that is not granted in time, and a deadlock, are outages', async () => {
  const database = use()
  const hold = Promise.withResolvers<void>()
  const held = Promise.withResolvers<void>()
  const holder = database.transaction(async tx => {
    await tx.one(sql`SELECT FROM thing WHERE _id = 1 FOR UPDATE`)
    held.resolve()
    await hold.promise
  })
  await held.promise
  const waiter = database.transaction(async tx => {
    await tx.run(sql`SET LOCAL lock_timeout = 50`)
    void tx.one(sql`SELECT FROM thing WHERE _id = 1 FOR UPDATE`)
    return tx.one(NAME)
  })
  await assert.rejects(waiter, error => error instanceof Unavailable && codeOf(error.cause) === '55P03')
  hold.resolve()
  await holder

  const both = Promise.withResolvers<void>()
  let arrived = 0
  const cross = (first: number, second: number) =>
    database.transaction(async tx => {
      await tx.run(sql`SET LOCAL deadlock_timeout = 50`).catch(() => {})
      await tx.one(sql`SELECT FROM thing WHERE _id = ${first} FOR UPDATE`)
      if (++arrived === 2) both.resolve()
      await both.promise
      await tx.one(sql`SELECT FROM thing WHERE _id = ${second} FOR UPDATE`)
    })
  const results = await Promise.allSettled([cross(1, 2), cross(2, 1)])
  const failed = results.filter(result => result.status === 'rejected')
  assert.equal(failed.length, 1)
  assert.ok(failed[0]!.reason instanceof Unavailable)
  assert.equal(codeOf(failed[0]!.reason.cause), '40P01')
})
const codeOf = (error: unknown) => (error as { code?: string }).code

test('a transaction that is over refuses, and touches nothing of others', async () => {
  const database = use({ maxConnections: 1 })
  let escaped: Queryable | undefined
  await database.transaction(async tx => {
    escaped = tx
    await tx.one(NAME)
  })
  await database.transaction(async tx => {
    await tx.one(NAME)
    await assert.rejects(escaped!.run(sql`UPDATE thing SET name = 'escaped' WHERE _id = 2`), /after the end/)
  })
  assert.deepEqual(await database.one(sql`SELECT name FROM thing WHERE _id = 2`), { name: 'two' })
})

test('a server that takes no writes any more: its connections are not kept, and readiness says so', async () => {
  const database = use()
  const write = database.transaction(async tx => {
    await tx.run(sql`SET TRANSACTION READ ONLY`)
    await tx.run(sql`UPDATE thing SET name = 'two' WHERE _id = 2`)
  })
  await assert.rejects(write, error => error instanceof Unavailable && codeOf(error.cause) === '25006')
  assert.equal(database.state, 'read-only')
  assert.equal(database.reachable, false)
  await until(async () => database.statistics.connections === 0)
  await eventually(database)
  assert.equal(database.state, 'connected')
})

test('where the server gives no more connections, those that there are serve all', async () => {
  const role = `narrow_${process.pid}`
  await backing.query(`CREATE ROLE ${role} LOGIN PASSWORD 'narrow' CONNECTION LIMIT 2`)
  try {
    const url = new URL(proxy.url)
    url.username = role
    url.password = 'narrow'
    const database = use({ target: readDatabaseUrl(url.href) })
    const many = () => Promise.all(Array.from({ length: 50 }, () => database.one(sql`SELECT pg_sleep(0.01)`)))
    await many()
    assert.deepEqual([database.statistics.connections, database.state], [2, 'connected'])
    await backing.query(`ALTER ROLE ${role} CONNECTION LIMIT -1`)
    while (database.statistics.connections < 4) await many()
    await database.close()
  } finally {
    await backing.query(`DROP ROLE ${role}`)
  }
})

test('session settings are sent, whatever role and database say (8.2)', async () => {
  const role = `odd_${process.pid}`
  const name = new URL(backing.url).pathname.slice(1)
  await backing.query(`CREATE ROLE ${role} LOGIN PASSWORD 'odd' IN ROLE pg_read_all_data`)
  try {
    await backing.query(`ALTER ROLE ${role} SET DateStyle = 'German, DMY'`)
    await backing.query(`ALTER ROLE ${role} SET IntervalStyle = 'sql_standard'`)
    await backing.query(`ALTER ROLE ${role} SET bytea_output = 'escape'`)
    await backing.query(`ALTER ROLE ${role} SET TimeZone = 'Asia/Tokyo'`)
    await backing.query(`ALTER ROLE ${role} SET default_transaction_isolation = 'repeatable read'`)
    await backing.query(`ALTER ROLE ${role} SET default_transaction_read_only = 'on'`)
    await backing.query(`ALTER ROLE ${role} SET synchronous_commit = 'off'`)
    await backing.query(`ALTER ROLE ${role} SET idle_session_timeout = '1h'`)
    await backing.query(`ALTER DATABASE ${name} SET lock_timeout = '1h'`)
    const url = new URL(backing.url)
    url.username = role
    url.password = 'odd'
    const database = use({ target: readDatabaseUrl(`${url}?search_path=pg_catalog,public`) })
    const settings = await database.all<{ name: string; setting: string }>(sql`
      SELECT name, setting FROM pg_settings WHERE name = ANY(${[
        'DateStyle',
        'IntervalStyle',
        'TimeZone',
        'bytea_output',
        'default_transaction_isolation',
        'default_transaction_read_only',
        'idle_in_transaction_session_timeout',
        'idle_session_timeout',
        'lock_timeout',
        'search_path',
        'statement_timeout',
        'synchronous_commit',
        'tcp_keepalives_idle',
      ]}::text[]) ORDER BY name COLLATE "C"`)
    assert.deepEqual(Object.fromEntries(settings.map(({ name, setting }) => [name, setting])), {
      DateStyle: 'ISO, YMD',
      IntervalStyle: 'postgres',
      TimeZone: 'UTC',
      bytea_output: 'hex',
      default_transaction_isolation: 'read committed',
      default_transaction_read_only: 'off',
      idle_in_transaction_session_timeout: '10000',
      idle_session_timeout: '0',
      lock_timeout: '3000',
      search_path: 'pg_catalog,public',
      statement_timeout: '35000',
      // Stays the operator's.
      synchronous_commit: 'off',
      tcp_keepalives_idle: '10',
    })
  } finally {
    await backing.query(`DROP ROLE ${role}`)
    await backing.query(`ALTER DATABASE ${name} RESET lock_timeout`)
  }
})
