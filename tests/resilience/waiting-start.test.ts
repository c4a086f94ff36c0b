/**
 * Services of a cluster that start before what they need: they wait, not ready, say why, and start when it is back.
 * What waiting does not mend ends them at once.
 */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createDatabase } from '../harness/backing.ts'
import { Child, type Environment } from '../harness/child.ts'
import { ADMINISTRATION_TOKEN, migrate, NODE_ARGV } from '../harness/launch.ts'
import { OwnNats } from '../harness/own-nats.ts'
import { freePort } from '../harness/ports.ts'
import { TcpProxy } from '../harness/tcp-proxy.ts'

const folder = await mkdtemp(join(tmpdir(), 'parsec-start-'))
const env: Environment = { PATH: process.env.PATH, HOME: folder, TMPDIR: folder, LC_ALL: 'C.UTF-8' }
const database = await createDatabase()
const empty = await createDatabase()
const proxy = await TcpProxy.start(database.url)
const nats = await OwnNats.prepare(['authorization { users: [{ user: "parsec", password: "right" }] }'])
const children: Child[] = []
await migrate(database.url, env)
after(async () => {
  await Promise.all(children.map(child => child.end()))
  await proxy.close()
  await nats.stop()
  await database.drop()
  await empty.drop()
  await rm(folder, { recursive: true, force: true })
})

class Server extends Child {
  readonly #monitorPort: number
  private constructor(services: string, monitorPort: number, options: readonly string[]) {
    const given = [`--monitor-port=${monitorPort}`, '--log-level=INFO', '--backend-addr=parsec://localhost']
    const own = ['--port=0', `--administration-token=${ADMINISTRATION_TOKEN}`, '--blockstore=POSTGRESQL']
    const run = [...NODE_ARGV, 'backend', 'run', ...(services ? [`--services=${services}`] : []), ...given, ...own]
    super(services || 'all', process.execPath, [...run, ...options], env)
    this.#monitorPort = monitorPort
  }
  static async start(services: string, ...options: string[]): Promise<Server> {
    const server = new Server(services, await freePort(), options)
    children.push(server)
    return server
  }
  get(path: string): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.#monitorPort}${path}`)
  }
  /** Waits until `/readyz` says so. */
  async readiness(status: number, detail: RegExp): Promise<void> {
    await this.until(async () => {
      const reply = await this.get('/readyz').catch(() => undefined)
      return reply?.status === status && detail.test(await reply.text())
    })
    assert.equal((await this.get('/healthz')).status, 200)
  }
  /** Times that the log says so. */
  count(text: RegExp): number {
    return this.output.match(new RegExp(text, 'g'))?.length ?? 0
  }
}

const inCluster = (db = proxy.url, credentials = 'parsec:right@'): string[] => [
  `--nats-url=${nats.url(credentials)}`,
  `--db=${db}`,
]

test('whoever starts while NATS and the database are away waits for one, then the other', async () => {
  proxy.set({ kind: 'reset' })
  const metadata = await Server.start('metadata', ...inCluster())
  const gateway = await Server.start('gateway', ...inCluster())
  const blockstore = await Server.start('blockstore', ...inCluster())
  const all = [metadata, gateway, blockstore]
  for (const server of all) await server.readiness(503, /"NATS":"cannot connect to NATS at 127.0.0.1:\d+: conn/)
  await nats.up()
  await gateway.readiness(200, /"ready":true/)
  await blockstore.readiness(200, /"ready":true/)
  await metadata.readiness(503, /"database":"[^"]*(closed|reset|hang|ended)/i)
  proxy.heal()
  await metadata.readiness(200, /"ready":true/)
  for (const server of all) {
    assert.equal(server.count(/Not started yet, waiting/), server === metadata ? 2 : 1, server.output)
    assert.match(server.output, /What the start waited for is there/)
  }
})

test('whoever waits ends in order when it is told to', async () => {
  proxy.set({ kind: 'refuse' })
  const metadata = await Server.start('metadata', ...inCluster())
  await metadata.readiness(503, /"database":/)
  await metadata.end('SIGTERM')
  assert.equal(metadata.exitCode, 0, metadata.output)
  proxy.heal()
})

test('what waiting does not mend ends the start at once', async () => {
  const noRole = new URL(database.url)
  noRole.username = 'nobody_of_that_name'
  for (const [options, reason, exit = 1] of [
    [inCluster(database.url, 'parsec:wrong@'), /--nats-url: cannot connect to NATS at \S+: .*[Aa]uthorization/],
    [['--nats-url=nats.example.com:4222', `--db=${database.url}`], /'--nats-url': must look like/, 2],
    [inCluster(noRole.href), /--db: cannot use the database \S+: (role|password)/],
    [inCluster(empty.url), /lacks 0001_initial.sql of this release/],
  ] as const) {
    const server = await Server.start('metadata', ...options)
    await server.exited
    assert.equal(server.exitCode, exit, server.output)
    assert.match(server.output, reason)
    assert.equal(server.count(/Not started yet/), 0, server.output)
  }
})

test('as many attempts as the operator says; without a cluster they end (spec 06 §8.3)', async () => {
  proxy.set({ kind: 'refuse' })
  const few = ['--maximum-database-connection-attempts=3', '--pause-before-retry-database-connection=0.01']
  for (const server of [
    await Server.start('', `--db=${proxy.url}`, ...few),
    await Server.start('metadata', ...inCluster(), ...few),
    await Server.start('', `--db=${proxy.url}`, '--pause-before-retry-database-connection=0.01'),
  ]) {
    await server.exited
    assert.equal(server.exitCode, 1, server.output)
    const attempts = children.at(-1) === server ? 10 : 3
    assert.equal(server.count(/Database connection lost \(.+\), retrying in 0.01 seconds/), attempts - 1, server.output)
  }
  proxy.heal()
})
