/**
 * What the chart renders, run on this machine: NATS, the migration and the services as processes with the arguments and
 * variables of their containers. Only ports, and with them the addresses inside the cluster, are others.
 */
import assert from 'node:assert/strict'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { NatsBus } from '@parsec/shared/bus/nats'
import { command, everyCommandOf } from '@parsec/shared/bus/subjects'
import type { Log } from '@parsec/shared/log'
import { Deployment } from 'kubernetes-models/apps/v1'
import { Job } from 'kubernetes-models/batch/v1'
import { Ingress } from 'kubernetes-models/networking.k8s.io/v1'
import { ConfigMap, type IContainer, Pod, Service } from 'kubernetes-models/v1'
import { createDatabase, isListening, type TestDatabase } from '../harness/backing.ts'
import { Child } from '../harness/child.ts'
import { startFront } from '../harness/front.ts'
import { freePort } from '../harness/ports.ts'
import { assertWorks, makeCertificate, Shell } from '../hosting/installation.ts'
import { ofKind, type Resource, render } from './chart.ts'
import { environment, type Variables } from './pod.ts'

const S3 = fileURLToPath(new URL('../conformance/lib/s3-faulty.mjs', import.meta.url))
const COMPONENT = 'app.kubernetes.io/component'
const TOKEN = 'administration-secret'
const CLUSTER = 'secrets.values.NATS_CLUSTER_PASSWORD'
const log: Log = { debug() {}, info() {}, warning() {}, error() {}, critical() {}, child: () => log }

/** A container that runs, with what the ports of its pod are here. */
type Running = { container: IContainer; child: Child; ports: { readonly [name: string]: number } }
const made: { shell: Shell; database: TestDatabase; store: Child; storePort: number } = {} as never

before(async () => {
  made.shell = await Shell.open()
  made.database = await createDatabase()
  made.storePort = await freePort()
  made.store = new Child('s3', process.execPath, [S3, `${made.storePort}`], { PATH: process.env.PATH })
  await made.store.until(() => isListening(made.storePort))
})
after(async () => {
  await made.shell?.close()
  await made.store?.end()
  await made.database?.drop()
})

test('a Deployment per service, with the bundled NATS', async () => {
  const resources = await render('full-values.yaml', { ...settings(), 'blockstore.env': [] })
  const nats = await startNats(resources)
  try {
    const address = { 'drive-nats:4222': `127.0.0.1:${nats.ports.nats}` }
    await migrate(resources)
    const names = ['metadata', 'blockstore', 'gateway', 'admin']
    const servers = await Promise.all(names.map(name => startServer(resources, name, address)))
    for (const running of [nats, ...servers]) await assertProbes(running)
    const [, , gateway, admin] = servers.map(({ ports }) => ports.http!)

    assert.deepEqual(routes(resources), [
      ['/administration', 'admin'],
      ['/', 'gateway'],
    ])
    const front = await startFront([gateway!], admin!)
    await assertWorks(`ws://127.0.0.1:${front.port}`, TOKEN)
    await front.close()
    await assertHelmTest(resources, {
      'drive-gateway:6777': `127.0.0.1:${gateway}`,
      'drive-admin:6777': `127.0.0.1:${admin}`,
    })
    await assertRights(nats.ports.nats!)
    for (const { child } of servers) await assertEndsWell(child)
  } finally {
    await nats.child.end()
  }
})

test('three NATS servers are one, each of them may go, and nobody joins them without the password', async () => {
  const resources = await render('full-values.yaml')
  const first = await startNats(resources)
  const second = await startNats(resources, first.ports.routes)
  const third = await startNats(resources, second.ports.routes)
  const servers = [first, second, third]
  const stranger = await startNats(
    await render('full-values.yaml', { [CLUSTER]: 'another-password' }),
    first.ports.routes,
  )
  try {
    for (const server of servers) await server.child.until(async () => (await neighbours(server)) === 2)
    await stranger.child.until(async () =>
      /Authorization (Violation|Error)|authentication error/i.test(stranger.child.output),
    )
    assert.equal(await neighbours(stranger), 0)
    await first.child.end()
    for (const server of [second, third]) await server.child.until(async () => (await neighbours(server)) === 1)
    const [metadata, gateway] = await Promise.all([
      busTo(third, 'metadata', 'nats-secret-metadata'),
      busTo(second, 'gateway', '1234567890123456'),
    ])
    await metadata.serve(everyCommandOf('metadata'), 'metadata', async () => Buffer.from('answer'))
    await second.child.until(async () => {
      const answer = await gateway
        .request(command('metadata', 'ping'), Buffer.from(''), { timeoutMs: 30_000 })
        .catch(() => '')
      return answer.toString() === 'answer'
    })
    await Promise.all([metadata.drain(), gateway.drain()])
  } finally {
    for (const { child } of [...servers, stranger]) await child.end()
  }
})

test('three NATS servers with TLS among each other and for the services', async () => {
  const { cert, key } = await makeCertificate(made.shell.folder, 'nats-tls')
  const files = { 'tls.crt': cert, 'tls.key': key, 'ca.crt': cert }
  const resources = await render('full-values.yaml', { 'nats.tls.secret': 'nats-tls' })
  const servers: Running[] = []
  try {
    for (let i = 0; i < 3; i++) servers.push(await startNats(resources, servers.at(-1)?.ports.routes, files))
    for (const server of servers) await server.child.until(async () => (await neighbours(server)) === 2)
    const ca = await readFile(cert)
    const [metadata, gateway] = await Promise.all([
      busTo(servers[0]!, 'metadata', 'nats-secret-metadata', { ca }),
      busTo(servers[2]!, 'gateway', '1234567890123456', { ca }),
    ])
    await metadata.serve(everyCommandOf('metadata'), 'metadata', async () => Buffer.from('answer'))
    await servers[2]!.child.until(async () => {
      const question = gateway.request(command('metadata', 'ping'), Buffer.from(''), { timeoutMs: 30_000 })
      return (await question.catch(() => '')).toString() === 'answer'
    })
    await Promise.all([metadata.drain(), gateway.drain()])
    await assert.rejects(busTo(servers[1]!, 'gateway', '1234567890123456', {}), /certificate|self/i)
  } finally {
    for (const { child } of servers) await child.end()
  }
})

test('one process for all', async () => {
  const resources = await render('oneprocess-values.yaml', settings())
  await migrate(resources)
  const server = await startServer(resources, 'server', {})
  await assertProbes(server)
  assert.deepEqual(routes(resources), [['/', 'server']])
  await assertWorks(`ws://127.0.0.1:${server.ports.http}`, TOKEN)
  await assertHelmTest(resources, { 'parsec-server:6777': `127.0.0.1:${server.ports.http}` })
  await assertEndsWell(server.child)
})

test('TLS in the pods, for clients that reach them without an Ingress', async () => {
  const { cert, key } = await makeCertificate(made.shell.folder, 'pods')
  const tls = { 'config.PARSEC_SSL_CERTFILE': cert, 'config.PARSEC_SSL_KEYFILE': key }
  const resources = await render('oneprocess-values.yaml', { ...settings(), ...tls })
  await migrate(resources)
  const server = await startServer(resources, 'server', {})
  await assertProbes(server)
  await assertHelmTest(resources, { 'parsec-server:6777': `127.0.0.1:${server.ports.http}` })
  await assertEndsWell(server.child)
})

const settings = () => ({
  'secrets.values.PARSEC_DB': made.database.url,
  'secrets.values.PARSEC_BLOCKSTORE': `s3:http\\://127.0.0.1\\:${made.storePort}:region:bucket:key:secret`,
})

function containerOf(resources: readonly Resource[], component: string): IContainer {
  const templates = [...ofKind(resources, Deployment), ...ofKind(resources, Job)].map(({ spec }) => spec!.template)
  return templates.find(({ metadata }) => metadata!.labels![COMPONENT] === component)!.spec!.containers[0]!
}

async function migrate(resources: readonly Resource[]): Promise<void> {
  const container = containerOf(resources, 'migrate')
  const migration = await made.shell.run(container.args!, environment(container, resources))
  assert.equal(migration.exitCode, 0, migration.output)
}

/** Resolves when the readiness probe succeeds. `addresses`: in the cluster → here. */
async function startServer(resources: readonly Resource[], component: string, addresses: Variables): Promise<Running> {
  const container = containerOf(resources, component)
  const ports = { http: await freePort(), monitor: await freePort() }
  const variables = environment(container, resources)
  for (const [name, text] of Object.entries(variables)) variables[name] = translated(text, addresses)
  assert.deepEqual([variables.PARSEC_PORT, variables.PARSEC_MONITOR_PORT], ['6777', '6778'])
  const own = { PARSEC_PORT: `${ports.http}`, PARSEC_MONITOR_PORT: `${ports.monitor}` }
  const child = made.shell.start(container.args!, { ...variables, ...own })
  const { path } = container.readinessProbe!.httpGet!
  return { container, child: await child.until(async () => (await statusOf(ports.monitor, path!)) === 200), ports }
}

/** `others`: the port where another NATS server of the cluster hears of new ones. */
async function startNats(
  resources: readonly Resource[],
  others?: number,
  tls: { readonly [name: string]: string } = {},
): Promise<Running> {
  const container = containerOf(resources, 'nats')
  const [mount] = container.volumeMounts!
  const config = ofKind(resources, ConfigMap).find(({ metadata }) => metadata!.labels?.[COMPONENT] === 'nats')!
  const ports = { nats: await freePort(), monitor: await freePort(), routes: await freePort() }
  const folder = join(made.shell.folder, `nats-${ports.nats}`)
  await mkdir(folder)
  for (const [name, content] of Object.entries(config.data!))
    await writeFile(
      join(folder, name),
      content.replace('0.0.0.0:6222', `127.0.0.1:${ports.routes}`).replaceAll('/etc/nats-tls', folder),
    )
  for (const [name, path] of Object.entries(tls)) await cp(path, join(folder, name))
  const argv = container.args!.map(word => word.replace(mount!.mountPath, folder))
  const variables = environment(container, resources)
  variables.NATS_ROUTE = variables.NATS_ROUTE!.replace('drive-nats-routes:6222', `127.0.0.1:${others ?? ports.routes}`)
  const [program] = container.command!
  const child = new Child('nats', program!, [...argv, '-p', `${ports.nats}`, '-m', `${ports.monitor}`], {
    PATH: `${process.env.PATH}:/usr/sbin`,
    ...variables,
  })
  return { container, child: await child.until(() => isListening(ports.nats)), ports }
}

/** How many other servers a NATS server knows. */
async function neighbours(server: Running): Promise<number> {
  const routes = await fetch(`http://127.0.0.1:${server.ports.monitor}/routez`)
  const { routes: known } = (await routes.json()) as { routes: { remote_id: string }[] }
  return new Set(known.map(({ remote_id }) => remote_id)).size
}

const busTo = ({ ports }: Running, name: string, password: string, tls?: { ca?: Buffer }): Promise<NatsBus> => {
  const url = `${tls ? 'tls' : 'nats'}://${name}:${password}@127.0.0.1:${ports.nats}`
  return NatsBus.connect({ url, name, inbox: name, log, ...(tls && { tls }) })
}

const translated = (text: string, addresses: Variables): string =>
  Object.entries(addresses).reduce((result, [from, to]) => result.replace(from, to), text)

async function statusOf(port: number, path: string): Promise<number | undefined> {
  try {
    return (await fetch(`http://127.0.0.1:${port}${path}`)).status
  } catch {
    return undefined
  }
}

async function assertProbes({ container, ports }: Running): Promise<void> {
  for (const probe of [container.startupProbe, container.livenessProbe, container.readinessProbe]) {
    if (!probe) continue
    const { path, port } = probe.httpGet!
    assert.equal(await statusOf(ports[port]!, path!), 200, `${container.name} ${path}`)
  }
}

/** Path of the Ingress → component, in order. */
function routes(resources: readonly Resource[]): [path: string, component: string][] {
  const [ingress] = ofKind(resources, Ingress)
  return ingress!.spec!.rules![0]!.http!.paths.map(({ path, backend }) => {
    const service = ofKind(resources, Service).find(({ metadata }) => metadata!.name === backend.service!.name)
    return [path!, service!.spec!.selector![COMPONENT]!]
  })
}

/** The pod of `helm test` succeeds. */
async function assertHelmTest(resources: readonly Resource[], addresses: Variables): Promise<void> {
  const [pod] = ofKind(resources, Pod)
  const [container] = pod!.spec!.containers
  const variables = environment(container!, resources)
  for (const [name, text] of Object.entries(variables)) variables[name] = translated(text, addresses)
  const [program, ...words] = [...container!.command!, ...container!.args!]
  assert.equal(program, 'node')
  const run = async (more: Variables) => {
    const child = new Child('helm test', process.execPath, words, { PATH: process.env.PATH, ...variables, ...more })
    await child.exited
    return child
  }
  const child = await run({})
  assert.equal(child.exitCode, 0, child.output)
  const refused = await run({ PARSEC_ADMINISTRATION_TOKEN: 'guessed' })
  assert.match(refused.output, /The administration API answers 403/)
  assert.equal(refused.exitCode, 1)
}

/** A service hears and asks at NATS what it must, nothing else; nobody does without a password. */
async function assertRights(port: number): Promise<void> {
  const admin = { user: 'admin', pass: 'nats-secret-admin' }
  assert.match(await natsAnswer(port, admin, 'SUB parsec.inbox.admin.x.y 1'), /^PONG/m)
  assert.match(await natsAnswer(port, admin, 'SUB parsec.cmd.> 1'), /^-ERR 'Permissions Violation for Subscription/m)
  assert.match(
    await natsAnswer(port, admin, 'PUB parsec.event.x.client 0\r\n'),
    /^-ERR 'Permissions Violation for Publish/m,
  )
  assert.match(await natsAnswer(port, { user: 'admin', pass: 'guessed' }, ''), /^-ERR 'Authorization Violation'/m)
  assert.match(await natsAnswer(port, {}, ''), /^-ERR 'Authorization Violation'/m)
}

/** What NATS says to one command, up to the answer to a ping after it. */
function natsAnswer(port: number, options: object, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(
        `CONNECT ${JSON.stringify({ verbose: false, pedantic: false, ...options })}\r\n${command}\r\nPING\r\n`,
      )
    })
    socket.setEncoding('utf8').on('data', text => {
      answer += text
      if (/^PONG/m.test(answer)) socket.end()
    })
    socket.on('close', () => resolve(answer))
    socket.on('error', reject)
  })
}

async function assertEndsWell(server: Child): Promise<void> {
  await server.end('SIGTERM')
  assert.equal(server.exitCode, 0, server.output)
}
