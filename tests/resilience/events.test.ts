/**
 * Events and what becomes of them when the bus breaks: nothing that was committed is lost, everything is told in the
 * order of commits, and what cannot be told holds up nothing (spec 01 §10.5, DESIGN §4).
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { migrate } from '@parsec/metadata/storage/migrations'
import { controlEvent, Outbox, type OutboxEvent } from '@parsec/metadata/storage/outbox'
import type { Bus } from '@parsec/shared/bus/bus'
import { LocalBus } from '@parsec/shared/bus/local'
import { NatsBus } from '@parsec/shared/bus/nats'
import { decode } from '@parsec/shared/codec/msgpack'
import { Unavailable } from '@parsec/shared/errors'
import type { Log, LogKeys } from '@parsec/shared/log'
import type { Database } from '@parsec/shared/postgres/database'
import { openPostgres } from '@parsec/shared/postgres/open'
import { readDatabaseUrl } from '@parsec/shared/postgres/url'
import type { BusEvent } from '@parsec/shared/protocol/events'
import { createDatabase, startNats, type TestDatabase, type TestNats } from '../harness/backing.ts'
import { TcpProxy } from '../harness/tcp-proxy.ts'

const PATIENCE_MS = 20_000
const SMALL_PAYLOAD = 64 * 1024

const own = {} as { postgres: TestDatabase; nats: TestNats; database: Database }
const errors: { event: string; keys: LogKeys }[] = []
const warnings: string[] = []
const log: Log = {
  debug() {},
  info() {},
  warning: event => void warnings.push(event),
  error: (event, keys = {}) => void errors.push({ event, keys }),
  critical: (event, keys = {}) => void errors.push({ event, keys }),
  child: () => log,
}

before(async () => {
  own.postgres = await createDatabase()
  own.nats = await startNats(SMALL_PAYLOAD)
  const config = configOf(own.postgres.url, 4)
  await migrate(config, { dryRun: false, log })
  own.database = await openPostgres(config, log)
})
after(async () => {
  await own.database.close()
  await own.nats.stop()
  await own.postgres.drop()
})

const configOf = (url: string, maxConnections: number) =>
  ({
    kind: 'POSTGRESQL',
    target: readDatabaseUrl(url),
    minConnections: 0,
    maxConnections,
    maxAttempts: 1,
    retryPauseSeconds: 1,
  }) as const
const connect = (url = own.nats.url): Promise<NatsBus> => NatsBus.connect({ url, name: 'test', log })

/** Ids of the attempts that are told, in their order; `payload` makes an event large. */
const event = (name: string, payload = Buffer.alloc(0)): OutboxEvent =>
  controlEvent('Org', { control: 'enrollment.claimed', invited: name, encrypted_claim: payload })

const told = (payload: Buffer) => decode(payload) as unknown as Extract<BusEvent, { control: unknown }>
function nameOf(payload: Buffer): string {
  const { control } = told(payload)
  return 'invited' in control ? control.invited : control.control
}

/** What is heard on the bus, without repetitions, as gateways hear it. */
async function listener(bus: Bus): Promise<string[]> {
  const heard: string[] = []
  const ids = new Set<string>()
  await bus.subscribe('event.>', payload => {
    const { id } = told(payload)
    if (ids.has(id)) return
    ids.add(id)
    heard.push(nameOf(payload))
  })
  return heard
}
/** As by a replica that dies before it publishes. */
const leave = (...events: OutboxEvent[]) => own.database.transaction(tx => Outbox.insert(tx, events))
async function commit(outbox: Outbox, ...events: OutboxEvent[]): Promise<void> {
  outbox.publish(events, await leave(...events))
}
const waiting = () => own.postgres.query<{ subject: string }>('SELECT subject FROM outbox')
async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + PATIENCE_MS; !(await holds()); await pause(20)) {
    if (Date.now() > end) throw new Error(`not in time: ${what}`)
  }
}

test('an event that a lost connection took along is told again, though the next one is there before its row goes', async () => {
  const proxy = await TcpProxy.start(own.nats.url)
  const [bus, ears] = [await connect(proxy.url), await connect()]
  const heard = await listener(ears)
  const outbox = new Outbox(own.database, bus, log)
  // Bytes go into the void, then the connection breaks and is back: a flush on the new one succeeds.
  proxy.forget()
  await commit(outbox, event('lost'))
  const { epoch } = bus
  proxy.reset()
  await until('connected again', () => bus.epoch > epoch && bus.connected)
  await outbox.drain()
  assert.equal((await waiting()).length, 1)

  const other = new Outbox(own.database, ears, log)
  other.start()
  await until('told by a sweep', () => heard.includes('lost'))
  await until('the outbox is empty', async () => (await waiting()).length === 0)
  await other.drain()
  await Promise.all([bus.drain(), ears.drain()])
  await proxy.close()
})

test('what a lost connection took stays for a sweep, and so does what a divided cluster did; what the next one took goes', async () => {
  const bus = new LocalBus()
  let epoch = 0
  Object.defineProperty(bus, 'epoch', { get: () => epoch })
  const outbox = new Outbox(own.database, bus, log)
  await commit(outbox, event('lost'))
  epoch++
  await commit(outbox, event('next'))
  await outbox.drain()
  const divided = new Outbox(own.database, bus, log)
  const flush = bus.flush.bind(bus)
  bus.flush = async () => {
    await flush()
    epoch++
  }
  await commit(divided, event('divided'))
  await divided.drain()
  const left = await own.postgres.query<{ event: Buffer }>('DELETE FROM outbox RETURNING event')
  assert.deepEqual(left.map(({ event }) => nameOf(event)).sort(), ['divided', 'lost'])
  await bus.drain()
})

test('an event that is committed after younger ones were swept is told as well', async () => {
  const bus = new LocalBus()
  const heard = await listener(bus)
  const outbox = new Outbox(own.database, bus, log)
  const [written, ended] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const late = own.database.transaction(async tx => {
    await Outbox.insert(tx, [event('late')])
    written.resolve()
    await ended.promise
  })
  await written.promise
  await leave(event('young'))
  outbox.start()
  await until('the younger one is told', () => heard.includes('young'))
  ended.resolve()
  await late
  await until('the older one is told', () => heard.includes('late'))
  await outbox.drain()
  await bus.drain()
})

test('a bus that is lost in the middle of a sweep takes nothing, and nothing is set aside for it', async () => {
  const bus = new LocalBus()
  const heard = await listener(bus)
  const outbox = new Outbox(own.database, bus, log)
  const publish = bus.publish.bind(bus)
  let isLost = true
  bus.publish = (subject, payload) => {
    if (!isLost) return publish(subject, payload)
    isLost = false
    throw new Unavailable('lost')
  }
  await leave(event('first'), event('second'))
  outbox.start()
  await until('both are told', () => heard.length === 2)
  assert.deepEqual(heard, ['first', 'second'])
  assert.deepEqual(await own.postgres.query('SELECT FROM outbox_failed'), [])
  await outbox.drain()
  await bus.drain()
})

test('an event that was written when the clock of the database was ahead is told at once', async () => {
  const bus = await connect()
  const heard = await listener(bus)
  await leave(event('from the future'))
  await own.postgres.query(`UPDATE outbox SET created_on = created_on + interval '1 hour'`)
  const outbox = new Outbox(own.database, bus, log)
  outbox.start()
  await until('told by a sweep', () => heard.includes('from the future'))
  await outbox.drain()
  await bus.drain()
})

test('a replica that ends without its bus says that events wait only when some do', async () => {
  const proxy = await TcpProxy.start(own.nats.url)
  const bus = await connect(proxy.url)
  const [told, silent] = [new Outbox(own.database, bus, log), new Outbox(own.database, bus, log)]
  await commit(told, event('kept'))
  await proxy.close()
  await until('without its bus', () => !bus.connected)
  const warned = () => warnings.filter(warning => warning === 'Events wait in the outbox').length
  const before = warned()
  await silent.drain()
  assert.equal(warned(), before)
  await told.drain()
  assert.equal(warned(), before + 1)
  await own.postgres.query('DELETE FROM outbox')
  await bus.drain()
})

test('sweeps of two replicas tell in the order of the rows', async () => {
  const bus = await connect()
  const heard = await listener(bus)
  const names = Array.from({ length: 1200 }, (_, i) => `swept${i}`)
  await leave(...names.map(name => event(name)))
  const replicas = [await connect(), await connect()].map(bus => ({ bus, outbox: new Outbox(own.database, bus, log) }))
  for (const { outbox } of replicas) outbox.start()
  await until('all are told', () => heard.length >= names.length)
  assert.deepEqual(heard, names)
  await until('the outbox is empty', async () => (await waiting()).length === 0)
  for (const { outbox, bus } of replicas) {
    await outbox.drain()
    await bus.drain()
  }
  await bus.drain()
})

test('an event that the bus will never take is set aside, told as lost, and holds up nothing', async () => {
  const bus = await connect()
  const heard = await listener(bus)
  const outbox = new Outbox(own.database, bus, log)
  outbox.start()
  await commit(outbox, event('before'), event('too large', Buffer.alloc(SMALL_PAYLOAD)), event('behind'))
  await until('the rest is told', () => heard.includes('behind'))
  assert.deepEqual([...heard].sort(), ['before', 'behind', 'events.lost'])
  await until('the outbox is empty', async () => (await waiting()).length === 0)
  const [kept] = await own.postgres.query<{ reason: string; size: number }>(
    'SELECT reason, length(event) AS size FROM outbox_failed',
  )
  assert.match(kept!.reason, /message of \d+ bytes/)
  assert.ok(kept!.size > SMALL_PAYLOAD)
  assert.deepEqual(
    errors.map(({ event }) => event),
    ['Event set aside, its organization connects anew'],
  )
  await outbox.drain()
  await bus.drain()
})

test('a sweep whose question is never answered does not end the sweeps', async () => {
  const proxy = await TcpProxy.start(own.postgres.url)
  const bus = await connect()
  const heard = await listener(bus)
  const config = configOf(proxy.url, 1)
  const behind = await openPostgres(config, log)
  const outbox = new Outbox(behind, bus, log)
  proxy.set({ kind: 'silent', only: 'open' })
  outbox.start()
  await leave(event('patient'))
  await until('told', () => heard.includes('patient'))
  await outbox.drain()
  await behind.close()
  await bus.drain()
  await proxy.close()
})
