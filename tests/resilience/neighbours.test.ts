/** Metadata services of one deployment have one database and one bus; whatever else is refused, or said loudly. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { migrate } from '@parsec/metadata/storage/migrations'
import { Neighbours } from '@parsec/metadata/storage/neighbours'
import { LocalBus } from '@parsec/shared/bus/local'
import { NatsBus } from '@parsec/shared/bus/nats'
import { OperatorError } from '@parsec/shared/errors'
import type { Log } from '@parsec/shared/log'
import type { Database } from '@parsec/shared/postgres/database'
import { openPostgres } from '@parsec/shared/postgres/open'
import { readDatabaseUrl } from '@parsec/shared/postgres/url'
import { createDatabase, startNats, type TestDatabase, type TestNats } from '../harness/backing.ts'
import { TcpProxy } from '../harness/tcp-proxy.ts'

const PATIENCE_MS = 20_000
const PACE = { everyMs: 50, leaseMs: 400 }
const errors: string[] = []
const log: Log = {
  debug() {},
  info() {},
  warning() {},
  error: (event, keys) => void errors.push(`${event}: ${keys?.['trouble']}`),
  critical() {},
  child: () => log,
}

type Place = { test: TestDatabase; database: Database }
const own = {} as { nats: TestNats; one: Place; other: Place }
before(async () => {
  own.nats = await startNats()
  own.one = await place()
  own.other = await place()
})
after(async () => {
  for (const { test, database } of [own.one, own.other]) {
    await database.close()
    await test.drop()
  }
  await own.nats.stop()
})

async function place(): Promise<Place> {
  const test = await createDatabase()
  const target = readDatabaseUrl(test.url)
  const config = {
    kind: 'POSTGRESQL',
    target,
    minConnections: 0,
    maxConnections: 2,
    maxAttempts: 1,
    retryPauseSeconds: 1,
  } as const
  await migrate(config, { dryRun: false, log })
  return { test, database: await openPostgres(config, log) }
}
const connect = (prefix = 'parsec', url = own.nats.url) => NatsBus.connect({ url, name: 'test', prefix, log })
async function until(what: string, holds: () => boolean): Promise<void> {
  for (const end = Date.now() + PATIENCE_MS; !holds(); await pause(20)) {
    if (Date.now() > end) throw new Error(`not in time: ${what}`)
  }
}

test('another database on the same subjects is refused at the start, with another prefix it is not', async () => {
  const [first, second, apart] = [await connect(), await connect(), await connect('apart')]
  const one = await Neighbours.meet(own.one.database, first, log, PACE)
  await assert.rejects(
    Neighbours.meet(own.other.database, second, log),
    (error: unknown) => error instanceof OperatorError && /--nats-subject-prefix/.test(error.message),
  )
  // Who was there before complains while it may be there, and says it once.
  await until('it is told', () => one.trouble !== undefined)
  await until('it is over', () => one.trouble === undefined)
  assert.deepEqual(errors.splice(0), ['Deployment is divided: another database is served on the same subjects of NATS'])
  const other = await Neighbours.meet(own.other.database, apart, log)
  const replica = await Neighbours.meet(own.one.database, second, log)
  for (const neighbours of [one, other, replica]) await neighbours.leave()
  for (const bus of [first, second, apart]) await bus.drain()
  assert.deepEqual(await own.one.test.query('SELECT FROM process'), [])
})

test('processes on one database without a common bus are told apart from replicas, and complain while they overlap', async () => {
  const [bus, second] = [await connect(), await connect()]
  const [one, replica] = [
    await Neighbours.meet(own.one.database, bus, log, PACE),
    await Neighbours.meet(own.one.database, second, log, PACE),
  ]
  await pause(3 * PACE.leaseMs)
  assert.equal(one.trouble, undefined)
  assert.deepEqual(errors, [])
  const alone = await Neighbours.meet(own.one.database, new LocalBus(), log, PACE)
  await until('all complain', () => [one, replica, alone].every(({ trouble }) => trouble !== undefined))
  assert.match(alone.trouble!, /without a common bus/)
  assert.deepEqual(
    new Set(errors),
    new Set(['Deployment is divided: another process works on this database without a common bus']),
  )
  await alone.leave()
  await until('the trouble is over', () => one.trouble === undefined && replica.trouble === undefined)
  // Whoever goes on with the database and is not heard any more is one, too, though the clock was ahead when it began.
  await own.one.test.query(`UPDATE process SET started_on = now() + interval '1 day'`)
  await second.drain()
  await until('one that has left the bus is missed', () => one.trouble !== undefined)
  await one.leave()
  await replica.leave()
  await bus.drain()
  await second.drain()
})

test('whoever died when the clock of the database was ahead is no neighbour', async () => {
  errors.length = 0
  await own.one.test.query(
    `INSERT INTO process (_id, started_on, seen_on)
     VALUES (gen_random_uuid(), now() - interval '1 day', now() + interval '30 minutes'), (gen_random_uuid(), now(), now() + interval '2 hours')`,
  )
  const bus = await connect()
  const one = await Neighbours.meet(own.one.database, bus, log, PACE)
  await pause(3 * PACE.leaseMs)
  assert.equal(one.trouble, undefined)
  await one.leave()
  await bus.drain()
  // What nobody can tell from a neighbour for long is forgotten.
  assert.equal((await own.one.test.query('DELETE FROM process RETURNING _id')).length, 1)
  assert.deepEqual(errors, [])
})

test('whoever overlaps for the time of a restart is no trouble', async () => {
  errors.length = 0
  const bus = await connect()
  const one = await Neighbours.meet(own.one.database, bus, log, PACE)
  await pause(2 * PACE.leaseMs)
  await own.one.test.query('INSERT INTO process (_id, started_on, seen_on) VALUES (gen_random_uuid(), now(), now())')
  await pause(PACE.leaseMs)
  await one.leave()
  await bus.drain()
  await own.one.test.query('DELETE FROM process')
  assert.deepEqual(errors, [])
})

test('a clock that is not the one of the database is told, until it is right', async () => {
  const warnings: unknown[] = []
  const noting: Log = { ...log, warning: (event, keys) => void warnings.push([event, keys?.['reason']]) }
  const bus = new LocalBus()
  for (const [offMs, told] of [
    [3_600_000, /^3(?:599|600) s ahead of/],
    [-60_000, /^(?:59|60) s behind/],
  ] as const) {
    let off: number = offMs
    const now = () => Date.now() + off
    const one = await Neighbours.meet(own.one.database, bus, noting, { ...PACE, now })
    assert.match(one.clock!, told)
    assert.deepEqual(warnings.splice(0)[0], ['Clock is wrong', one.clock])
    off = 0
    await until('the clock is right', () => one.clock === undefined)
    await one.leave()
  }
})

test('replicas do not complain when the bus was away for longer than they believe each other', async t => {
  errors.length = 0
  const proxy = await TcpProxy.start(own.nats.url)
  const buses = [await connect('parsec', proxy.url), await connect('parsec', proxy.url)]
  const replicas = await Promise.all(buses.map(bus => Neighbours.meet(own.one.database, bus, log, PACE)))
  t.after(async () => {
    for (const replica of replicas) await replica.leave()
    for (const bus of buses) await bus.drain()
    await proxy.close()
  })
  await pause(2 * PACE.leaseMs)
  for (let n = 0; n < 3; n++) {
    proxy.set({ kind: 'reset' })
    await until('the bus is away', () => buses.every(bus => !bus.connected))
    await pause(2 * PACE.leaseMs)
    proxy.heal()
    await until('the bus is back', () => buses.every(bus => bus.connected))
    await pause(2 * PACE.leaseMs)
  }
  assert.deepEqual(errors, [])
})
