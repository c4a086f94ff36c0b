/**
 * What the credentials of one service can do at the broker of the manifests: its work, and nothing else. Each service in
 * turn is in the hands of an attacker (DESIGN §9).
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect as connectTo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Bus } from '@parsec/shared/bus/bus'
import { NatsBus } from '@parsec/shared/bus/nats'
import { probeNats } from '@parsec/shared/bus/nats-probe'
import { permissionsOf } from '@parsec/shared/bus/permissions'
import { Replica } from '@parsec/shared/bus/replica'
import { Roll } from '@parsec/shared/bus/roll'
import * as subjects from '@parsec/shared/bus/subjects'
import { Unavailable } from '@parsec/shared/errors'
import type { Log } from '@parsec/shared/log'
import { SERVICE_NAMES, type ServiceName } from '@parsec/shared/protocol/command'
import { type InternalName, internalRequests } from '@parsec/shared/protocol/internal'
import { isListening } from '../harness/backing.ts'
import { Child } from '../harness/child.ts'
import { freePort } from '../harness/ports.ts'

const CONFIG = new URL('../../k8s/manifests/nats.conf', import.meta.url)
const LONG = { timeoutMs: 30_000 }
const log: Log = { debug() {}, info() {}, warning() {}, error() {}, critical() {}, child: () => log }

const own = {} as { broker: Child; folder: string; port: number }
before(async () => {
  const port = await freePort()
  const folder = await mkdtemp(join(tmpdir(), 'parsec-rights-'))
  const monitor = await freePort()
  const config = (await readFile(CONFIG, 'utf8'))
    .replace('0.0.0.0:4222', `127.0.0.1:${port}`)
    .replace('0.0.0.0:8222', `127.0.0.1:${monitor}`)
    .replace(/^cluster \{.*?^\}\n/ms, '')
  await writeFile(join(folder, 'nats.conf'), config)
  const passwords = SERVICE_NAMES.map(name => [`NATS_${name.toUpperCase()}_PASSWORD`, `secret-${name}`])
  const environment = { PATH: `${process.env['PATH']}:/usr/sbin`, ...Object.fromEntries(passwords) }
  const broker = await new Child('nats', 'nats-server', ['-c', join(folder, 'nats.conf')], environment).until(() =>
    isListening(port),
  )
  Object.assign(own, { broker, folder, port })
})
after(async () => {
  await own.broker.end()
  await rm(own.folder, { recursive: true, force: true })
})

const connect = (name: ServiceName, inbox: string = name): Promise<NatsBus> =>
  NatsBus.connect({ url: `nats://${name}:secret-${name}@127.0.0.1:${own.port}`, name, inbox, log })
const bytes = (text: string): Buffer => Buffer.from(text)
const refused = (promise: Promise<unknown>) => assert.rejects(promise, /refuses/)

/** Requests that the services serve, by their wire names. */
const commandsTo = (service: 'metadata' | 'blockstore') => subjects.command(service, 'anything')
const internalTo = (name: InternalName) => subjects.internal(internalRequests[name].service, name)
const every = Object.keys(internalRequests) as InternalName[]

/** Metadata and block store as they are, with a mark in each answer. */
async function honest(): Promise<Bus[]> {
  const [metadata, blockstore] = [await connect('metadata'), await connect('blockstore')]
  await metadata.serve(subjects.everyCommandOf('metadata'), 'metadata', async () => bytes('metadata'))
  await metadata.serve(subjects.everyInternalOf('metadata'), 'metadata', async () => bytes('metadata'))
  await blockstore.serve(subjects.everyCommandOf('blockstore'), 'blockstore', async () => bytes('blockstore'))
  await blockstore.serve(subjects.everyInternalOf('blockstore'), 'blockstore', async () => bytes('blockstore'))
  return [metadata, blockstore]
}

test('the manifests give each service the rights that the code says', async () => {
  const text = await readFile(CONFIG, 'utf8')
  for (const name of SERVICE_NAMES) {
    const [, publish, subscribe] = new RegExp(`user: ${name}\\n[^]*?publish: (.*)\\n\\s*subscribe: (.*)\\n`).exec(text)!
    assert.deepEqual({ publish: JSON.parse(publish!), subscribe: JSON.parse(subscribe!) }, permissionsOf(name), name)
  }
})

test('each service can do its work', async () => {
  const services = await honest()
  const [gateway, admin] = [await connect('gateway'), await connect('admin')]
  const heard: string[] = []
  await gateway.subscribe(subjects.clientEvents('Org'), payload => void heard.push(payload.toString()))
  assert.equal((await gateway.request(commandsTo('metadata'), bytes(''), LONG)).toString(), 'metadata')
  assert.equal((await gateway.request(commandsTo('blockstore'), bytes(''), LONG)).toString(), 'blockstore')
  for (const name of every) {
    const asker = { gateway, admin, blockstore: services[1]!, metadata: services[0]! }[internalRequests[name].from[0]!]
    const { service } = internalRequests[name]
    assert.equal((await asker.request(internalTo(name), bytes(''), LONG)).toString(), service, name)
  }
  services[0]!.publish(subjects.clientEvents('Org'), bytes('told'))
  await services[0]!.flush()
  await gateway.flush()
  assert.deepEqual(heard, ['told'])
  await Promise.all([...services, gateway, admin].map(bus => bus.drain()))
})

for (const attacker of SERVICE_NAMES)
  test(`whoever has the credentials of ${attacker} reads, asks, answers and tells nothing else`, async () => {
    const services = await honest()
    const bus = await connect(attacker)
    // Reads: answers to others, events, requests.
    for (const victim of SERVICE_NAMES.filter(name => name !== attacker))
      await refused(bus.subscribe(`inbox.${victim}.>`, () => {}))
    await refused(bus.subscribe('inbox.>', () => {}))
    await refused(bus.subscribe('>', () => {}))
    if (attacker !== 'gateway') await refused(bus.subscribe('event.>', () => {}))
    for (const served of ['metadata', 'blockstore'] as const) {
      if (attacker === served) continue
      await refused(bus.serve(subjects.everyCommandOf(served), served, async () => bytes('forged')))
      await refused(bus.serve(subjects.everyInternalOf(served), served, async () => bytes('forged')))
      // Asks: commands are the gateway's.
      if (attacker !== 'gateway') await assert.rejects(bus.request(commandsTo(served), bytes(''), LONG), Unavailable)
    }
    // Replicas: nobody is another one, and only the administration asks them.
    for (const victim of SERVICE_NAMES.filter(name => name !== attacker)) {
      await refused(bus.serve(subjects.everyRequestTo(victim, 'x'), 'x', async () => bytes('forged')))
      if (attacker !== 'admin') await refused(bus.subscribe(subjects.roll(victim), () => {}))
    }
    if (attacker !== 'admin')
      await assert.rejects(bus.request(subjects.requestTo('metadata', 'x', 'state'), bytes(''), LONG), /refuses/)
    for (const name of every) {
      const asked = bus.request(internalTo(name), bytes(''), LONG)
      if (internalRequests[name].from.includes(attacker)) await asked
      else await assert.rejects(asked, Unavailable, name)
    }
    // Tells, or answers what was asked of somebody else: neither arrives.
    const gateway = await connect('gateway')
    const heard: string[] = []
    await gateway.subscribe(subjects.controlEvents('Org'), payload => void heard.push(payload.toString()))
    if (attacker !== 'metadata') {
      bus.publish(subjects.controlEvents('Org'), bytes('forged'))
      await bus.flush()
      await gateway.flush()
      assert.deepEqual(heard, [])
    }
    await Promise.all([...services, gateway, bus].map(bus => bus.drain()))
  })

test('a probe finds the rights that each service has, and names those that others have', async () => {
  const probe = (user: ServiceName, service: ServiceName) => {
    const url = `nats://${user}:secret-${user}@127.0.0.1:${own.port}`
    return probeNats({ url, name: 'probe', inbox: user }, permissionsOf(service))
  }
  for (const name of SERVICE_NAMES) assert.deepEqual((await probe(name, name)).refused, [], name)
  const { refused } = await probe('blockstore', 'gateway')
  const named = refused.map(({ operation, subject }) => `${operation} ${subject}`)
  assert.ok(named.includes('subscription parsec.event.*.*'), named.join())
  assert.ok(named.includes('publish parsec.cmd.metadata.-.caller'), named.join())
})

test('where the broker has the permissions of an earlier release, replicas cannot be asked, and say so', async () => {
  // As a service whose new subjects are not permitted.
  const bus = await connect('gateway')
  await assert.rejects(Replica.present(bus, log, 'blockstore', {}), /NATS refuses a subscription/)
  const roll = await Roll.open(bus, log)
  await assert.rejects(roll.ask('state', {}), Unavailable)
  await roll.close()
  await bus.drain()
})

test('an answer goes to whoever asked, and to no other place', async () => {
  const victim = await connect('gateway', 'gateway.victim')
  const heard: string[] = []
  await victim.subscribe('inbox.gateway.known', payload => void heard.push(payload.toString()))
  for (const name of SERVICE_NAMES.filter(name => name !== 'gateway')) {
    const bus = await connect(name)
    bus.publish('inbox.gateway.known', bytes(`forged by ${name}`))
    await bus.flush()
    await bus.drain()
  }
  await victim.flush()
  assert.deepEqual(heard, [])
  await victim.drain()
})

test('a service answers to inboxes only: its own right to speak is no right of whoever asks', async () => {
  const services = await honest()
  const gateway = await connect('gateway')
  const heard: string[] = []
  await gateway.subscribe(subjects.controlEvents('Org'), payload => void heard.push(payload.toString()))
  const [asked, control] = [commandsTo('metadata'), subjects.controlEvents('Org')].map(subject => `parsec.${subject}`)
  // In the words of NATS: what the driver would not ask for.
  const attacker = connectTo(own.port, '127.0.0.1')
  attacker.write('CONNECT {"verbose":false,"user":"gateway","pass":"secret-gateway"}\r\n')
  for (const reply of [control, `${control}.x`, '']) attacker.write(`PUB ${asked} ${reply} 0\r\n\r\n`)
  attacker.write('PING\r\n')
  for (let heard = ''; !heard.includes('PONG'); ) heard += (await once(attacker, 'data'))[0]
  // The service has taken what came before this one.
  assert.equal((await gateway.request(commandsTo('metadata'), bytes(''), LONG)).toString(), 'metadata')
  await gateway.flush()
  assert.deepEqual(heard, [])
  attacker.destroy()
  await Promise.all([...services, gateway].map(bus => bus.drain()))
})
