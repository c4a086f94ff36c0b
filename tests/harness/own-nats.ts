/** NATS servers of a test's own: with other settings, several as a cluster, and ended, stopped or cut off at will. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isListening, NATS_MAX_PAYLOAD, type TestNats } from './backing.ts'
import { Child } from './child.ts'
import { freePort } from './ports.ts'
import { TcpProxy } from './tcp-proxy.ts'

export class OwnNats {
  readonly name: string
  readonly port: number
  readonly #folder: string
  #child: Child | undefined

  private constructor(name: string, port: number, folder: string) {
    this.name = name
    this.port = port
    this.#folder = folder
  }

  /** It does not run yet; `settings` are lines of its configuration. */
  static async prepare(settings: readonly string[] = [], name = 'nats'): Promise<OwnNats> {
    const server = new OwnNats(name, await freePort(), await mkdtemp(join(tmpdir(), 'parsec-nats-')))
    const own = [`server_name: "${name}"`, `listen: "127.0.0.1:${server.port}"`, `max_payload: ${NATS_MAX_PAYLOAD}`]
    const pings = ['ping_interval: "5s"', 'ping_max: 2']
    await writeFile(server.#config, [...own, ...pings, ...settings, ''].join('\n'))
    return server
  }
  get #config(): string {
    return join(this.#folder, 'nats.conf')
  }

  url(credentials = ''): string {
    return `nats://${credentials}127.0.0.1:${this.port}`
  }
  async up(): Promise<void> {
    this.#child = new Child(this.name, 'nats-server', ['-c', this.#config], { PATH: `${process.env.PATH}:/usr/sbin` })
    await this.#child.until(() => isListening(this.port))
  }
  async kill(): Promise<void> {
    await this.#child?.end('SIGKILL')
  }
  /** It answers nobody any more, and closes nothing. */
  freeze(): void {
    this.#child?.process.kill('SIGSTOP')
  }
  thaw(): void {
    this.#child?.process.kill('SIGCONT')
  }
  get output(): string {
    return this.#child?.output ?? ''
  }
  async stop(): Promise<void> {
    await this.kill()
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** Servers with routes among each other, each behind a proxy that can fail. */
export class NatsCluster implements TestNats {
  readonly members: readonly OwnNats[]
  readonly #routes: readonly TcpProxy[]

  private constructor(members: readonly OwnNats[], routes: readonly TcpProxy[]) {
    this.members = members
    this.#routes = routes
  }

  static async start(size: number): Promise<NatsCluster> {
    const ports = await Promise.all(Array.from({ length: size }, freePort))
    const routes = await Promise.all(ports.map(port => TcpProxy.start(`nats://127.0.0.1:${port}`)))
    const members = await Promise.all(
      ports.map((port, i) => {
        const others = routes.filter((_, j) => j !== i).map(({ url }) => `"${url.replace('nats:', 'nats-route:')}"`)
        const { host } = new URL(routes[i]!.url)
        const settings = [`name: test, listen: "127.0.0.1:${port}"`, `advertise: "${host}"`, `routes: [${others}]`]
        return OwnNats.prepare([`cluster { ${settings.join(', ')} }`], `nats-${i + 1}`)
      }),
    )
    const cluster = new NatsCluster(members, routes)
    await Promise.all(members.map(member => member.up()))
    return cluster
  }

  get url(): string {
    return this.members.map(member => member.url()).join(',')
  }
  /** Each process knows one member, another one than its neighbour; it learns of the others from that. */
  urlOf(process: number): string {
    return this.members[process % this.members.length]!.url()
  }
  /** No server hears of another one: at once, or without a word. */
  divide(how: 'reset' | 'silent'): void {
    for (const route of this.#routes) route.set({ kind: how })
  }
  /** What others tell that member, and it them, comes late. */
  slow(member: OwnNats, ms: number): void {
    this.#routes[this.members.indexOf(member)]!.set({ kind: 'delay', ms })
  }
  join(): void {
    for (const route of this.#routes) {
      route.heal()
      route.reset()
    }
  }
  async stop(): Promise<void> {
    await Promise.all(this.members.map(member => member.stop()))
    await Promise.all(this.#routes.map(route => route.close()))
  }
}
