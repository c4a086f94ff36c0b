/** What only the bus among workers can do: lose one of them, or all; `bus.test.ts` has what all buses do. */
import assert from 'node:assert/strict'
import { type Duplex, duplexPair } from 'node:stream'
import { afterEach, test } from 'node:test'
import { Unavailable } from '../errors.ts'
import { limits } from '../limits.ts'
import { RelayBus } from './relay.ts'
import { RelayHub } from './relay-hub.ts'
import { FRAME, frame, Link } from './relay-link.ts'

const TICK_MS = 10
const LONG = { timeoutMs: 60_000 }
const bytes = (text: string): Buffer => Buffer.from(text)

const hubs: RelayHub[] = []
afterEach(() => {
  for (const hub of hubs.splice(0)) hub.close()
})
function makeHub(tickMs?: number): RelayHub {
  const hub = new RelayHub(tickMs)
  hubs.push(hub)
  return hub
}
/** A place at the hub, and what becomes of it. */
function place(hub: RelayHub): { stream: Duplex; hubStream: Duplex; lost: Promise<string> } {
  const [hubStream, stream] = duplexPair()
  const { promise: lost, resolve } = Promise.withResolvers<string>()
  hub.attach(hubStream, resolve)
  return { stream, hubStream, lost }
}
const openAt = (hub: RelayHub): Promise<RelayBus> => RelayBus.open(place(hub).stream)

/** A peer that says that it listens, and then says nothing; resolves when `bus` knows. */
async function deafPeer(
  hub: RelayHub,
  bus: RelayBus,
  subject: string,
): Promise<{ lost: Promise<string>; stream: Duplex }> {
  const { stream, lost } = place(hub)
  const link = new Link(
    stream,
    () => {},
    () => {},
  )
  link.send(frame(FRAME.hello))
  link.send(frame(FRAME.listen, { subject }))
  while (!bus.isHeard(subject)) await new Promise(resolve => setImmediate(resolve))
  return { lost, stream }
}

test('a flush resolves when the others have told their listeners', async () => {
  const hub = makeHub()
  const [one, other] = await Promise.all([openAt(hub), openAt(hub)])
  const heard: string[] = []
  await other.subscribe('event.*', payload => heard.push(payload.toString()))
  for (let i = 0; i < 100; i++) one.publish('event.x', bytes(`${i}`))
  await one.flush()
  assert.equal(heard.length, 100)
})

test('nothing is sent that nobody hears', async () => {
  const hub = makeHub()
  const [one, other] = await Promise.all([openAt(hub), openAt(hub)])
  assert.equal(one.isHeard('event.x'), false)
  const subscriptions = [await other.subscribe('event.x', () => {}), await other.subscribe('event.x', () => {})]
  assert.equal(one.isHeard('event.x'), true)
  const newcomer = await openAt(hub)
  assert.equal(newcomer.isHeard('event.x'), true)
  await subscriptions[0]!.close()
  await other.flush()
  assert.equal(one.isHeard('event.x'), true)
  await subscriptions[1]!.close()
  await other.flush()
  assert.equal(one.isHeard('event.x'), false)
})

test('who serves a subject answers its own requests; what only another one serves crosses', async () => {
  const hub = makeHub()
  const [one, other] = await Promise.all([openAt(hub), openAt(hub)])
  await one.serve('cmd.*', 'q', async () => bytes('one'))
  await other.serve('cmd.*', 'q', async () => bytes('other'))
  await other.serve('replica.other', 'other', async () => bytes('only the other'))
  assert.equal((await one.request('cmd.x', bytes(''), LONG)).toString(), 'one')
  assert.equal((await other.request('cmd.x', bytes(''), LONG)).toString(), 'other')
  assert.equal((await one.request('replica.other', bytes(''), LONG)).toString(), 'only the other')
})

test('a worker that goes fails what it was asked, at once; what it published is told', async () => {
  const hub = makeHub()
  const asker = await openAt(hub)
  const { stream } = place(hub)
  const server = await RelayBus.open(stream)
  const taken = Promise.withResolvers<void>()
  await server.serve('slow', 'q', () => {
    taken.resolve()
    return new Promise(() => {})
  })
  const heard = Promise.withResolvers<string>()
  await asker.subscribe('event', payload => heard.resolve(payload.toString()))
  const asked = assert.rejects(asker.request('slow', bytes(''), LONG), /has gone/)
  await taken.promise
  server.publish('event', bytes('the last word'))
  await new Promise(resolve => setImmediate(resolve))
  stream.end()
  await asked
  assert.equal(await heard.promise, 'the last word')
  await assert.rejects(asker.request('slow', bytes(''), LONG), /nobody serves/)
})

test('work is given up when the worker that asked has gone, or the hub', async () => {
  const hub = makeHub()
  const [askers, servers] = [place(hub), place(hub)]
  const [asker, server, other] = [
    await RelayBus.open(askers.stream),
    await RelayBus.open(servers.stream),
    await openAt(hub),
  ]
  let taken = Promise.withResolvers<void>()
  const givenUp: string[] = []
  await server.serve('slow', 'q', (payload, _subject, _parcel, caller) => {
    caller.onGone = () => givenUp.push(payload.toString())
    taken.resolve()
    return new Promise(() => {})
  })
  await server.serve('quick', 'q', async payload => payload)
  const ask = async (bus: RelayBus, name: string) => {
    taken = Promise.withResolvers()
    const asked = assert.rejects(bus.request('slow', bytes(name), LONG), Unavailable)
    await taken.promise
    return { asked }
  }
  const { asked } = await ask(asker, 'asker')
  askers.stream.end()
  await asked
  // What the hub says comes in order.
  await other.request('quick', bytes(''), LONG)
  assert.deepEqual(givenUp, ['asker'])

  await ask(other, 'other')
  const lost = new Promise(resolve => server.onStatus(resolve))
  servers.hubStream.destroy()
  await lost
  assert.deepEqual(givenUp, ['asker', 'other'])
})

test('a worker that does not answer is given up, and nobody waits for it longer', async () => {
  const hub = makeHub(TICK_MS)
  const bus = await openAt(hub)
  const { lost } = await deafPeer(hub, bus, 'event')
  bus.publish('event', bytes('x'))
  await bus.flush()
  assert.equal(await lost, 'it does not answer')
  assert.equal(bus.isHeard('event'), false)
  await bus.flush()
})

test('nobody waits for a worker that has not said a word; one that never does is given up', async () => {
  const hub = makeHub(TICK_MS)
  const bus = await openAt(hub)
  const silent = place(hub)
  await bus.flush()
  assert.equal(await silent.lost, 'it does not answer')
})

test('a worker that does not read is given up', async () => {
  const hub = makeHub()
  const bus = await openAt(hub)
  const { stream, lost } = await deafPeer(hub, bus, 'event')
  stream.pause()
  const large = Buffer.alloc(16 * 1_048_576)
  for (let sent = 0; sent <= limits.relay_backlog.value + large.length; sent += large.length) {
    bus.publish('event', large)
    await new Promise(resolve => setImmediate(resolve))
  }
  assert.equal(await lost, 'it does not read what it is sent')
  await bus.flush()
})

test('without the hub nothing is promised any more: all that waits fails, and says so', async () => {
  const hub = makeHub()
  const { stream, hubStream } = place(hub)
  const bus = await RelayBus.open(stream)
  const other = await openAt(hub)
  await other.serve('slow', 'q', () => new Promise(() => {}))
  await bus.subscribe('event', () => {})
  const changes: boolean[] = []
  bus.onStatus(connected => changes.push(connected))
  const { epoch } = bus
  const asked = assert.rejects(bus.request('slow', bytes(''), LONG), Unavailable)
  hubStream.destroy()
  await asked
  assert.deepEqual(changes, [false])
  assert.equal(bus.connected, false)
  assert.notEqual(bus.epoch, epoch)
  assert.throws(() => bus.publish('event', bytes('x')), Unavailable)
  await assert.rejects(bus.flush(), Unavailable)
  await assert.rejects(
    bus.subscribe('event', () => {}),
    Unavailable,
  )
  await bus.drain()
})

test('frames arrive whole, however the stream cuts them', async () => {
  const [left, right] = duplexPair()
  const received: [string, string][] = []
  const all = Promise.withResolvers<void>()
  new Link(
    right,
    ({ subject, payload }) => {
      if (received.push([subject, payload.toString()]) === 3) all.resolve()
    },
    () => {},
  )
  const sent: Buffer[] = []
  const [probe, sink] = duplexPair()
  sink.on('data', (chunk: Buffer) => sent.push(chunk))
  const link = new Link(
    probe,
    () => {},
    () => {},
  )
  for (const text of ['', 'é', 'x'.repeat(1000)])
    link.send(frame(FRAME.event, { subject: 'a.b', payload: bytes(text) }))
  await new Promise(resolve => setTimeout(resolve, 0))
  await new Promise(resolve => setImmediate(resolve))
  for (const byte of Buffer.concat(sent)) left.write(Buffer.of(byte))
  await all.promise
  assert.deepEqual(received, [
    ['a.b', ''],
    ['a.b', 'é'],
    ['a.b', 'x'.repeat(1000)],
  ])
})
