/**
 * Starts the server as its users do, through the command line, as child processes on free loopback ports.
 *
 * - `single`: one process, everything in memory, in-process bus.
 * - `shared`: three processes with all services each, on one PostgreSQL database and one NATS server.
 * - `cluster`: one process per service, gateway and metadata twice, behind one address.
 * - `pairs`: gateway, metadata and block store twice, behind one address, with a proxy that makes faults in front of
 *   PostgreSQL and another in front of NATS.
 * - `twins`: two processes with all services each.
 * - `workers`: one server of two workers, on a PostgreSQL database and nothing else.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createDatabase, isListening, startNats, type TestDatabase, type TestNats } from './backing.ts'
import { Child, type Environment } from './child.ts'
import { type Front, startFront } from './front.ts'
import { freePort } from './ports.ts'
import { TcpProxy } from './tcp-proxy.ts'

export type Topology = 'single' | 'shared' | 'cluster' | 'pairs' | 'twins' | 'workers'

/** Processes of each topology, with the services that they run; empty: all. */
const LAYOUTS: { readonly [T in Topology]: readonly (readonly [name: string, services: string])[] } = {
  single: [['server', '']],
  shared: [
    ['server-1', ''],
    ['server-2', ''],
    ['server-3', ''],
  ],
  cluster: [
    ['metadata-1', 'metadata'],
    ['metadata-2', 'metadata'],
    ['blockstore-1', 'blockstore'],
    ['gateway-1', 'gateway'],
    ['gateway-2', 'gateway'],
    ['gateway-3', 'gateway'],
    ['admin-1', 'admin'],
  ],
  pairs: [
    ['metadata-1', 'metadata'],
    ['metadata-2', 'metadata'],
    ['blockstore-1', 'blockstore'],
    ['blockstore-2', 'blockstore'],
    ['gateway-1', 'gateway'],
    ['gateway-2', 'gateway'],
    ['admin-1', 'admin'],
  ],
  twins: [
    ['server-1', ''],
    ['server-2', ''],
  ],
  workers: [['server', '']],
}
/** Gateways behind the front; the third is reached by its own address only, for tests that restart it. */
const FRONTED = ['gateway-1', 'gateway-2']

export const ADMINISTRATION_TOKEN = 's3cr3t'
/** Of the fake S3 that fails. */
export const S3_SECRET = 'secret-of-the-failing-s3'
const PARSEC = fileURLToPath(new URL('../../cli/bin/parsec.js', import.meta.url))
export const NODE_ARGV: readonly string[] = ['--conditions=development', PARSEC]

export type LaunchOptions = {
  topology: Topology
  /** Options added to every `backend run`. */
  flags?: readonly string[]
  debug?: boolean
  /** Instead of `MOCKED` (single) and `POSTGRESQL` (else). */
  blockstore?: string | readonly string[]
  /** Bytes; what brokers are usually given is less than the harness gives them. */
  natsMaxPayload?: number
  /** Arguments of Node itself, for every process. */
  nodeArgv?: readonly string[]
  /** More variables for every process. */
  env?: Environment
  /** Instead of the plain address that clients really use. */
  backendAddr?: string
  /** Whether the processes reach their database through a network that can fail. */
  isDatabaseProxied?: boolean
  /** Instead of a database and a broker of its own, which then belong to the cluster; without proxy. */
  database?: TestDatabase
  nats?: TestNats
  /** What runs instead of the sources of this repository, by the name of the process. */
  programs?: { readonly [process: string]: Program }
}

/** Arguments of Node that make it a server of some release. */
export type Program = readonly string[]

export class Cluster {
  readonly topology: Topology
  /** Temporary folder of all its processes. */
  readonly folder: string
  readonly database: TestDatabase | undefined
  readonly nats: TestNats | undefined
  readonly processes = new Map<string, ServerProcess>()
  #front: Front | undefined
  #databaseProxy: TcpProxy | undefined
  /** For the topology `pairs`. */
  #natsProxy: TcpProxy | undefined

  private constructor(
    topology: Topology,
    folder: string,
    database: TestDatabase | undefined,
    nats: TestNats | undefined,
  ) {
    this.topology = topology
    this.folder = folder
    this.database = database
    this.nats = nats
  }

  /** Resolves when every process works. */
  static async start({
    topology,
    flags = [],
    debug = true,
    blockstore,
    nodeArgv = [],
    env: more = {},
    backendAddr,
    isDatabaseProxied = topology === 'pairs',
    natsMaxPayload,
    database: givenDatabase,
    nats: givenNats,
    programs = {},
  }: LaunchOptions): Promise<Cluster> {
    const inMemory = topology === 'single'
    const database = inMemory ? undefined : (givenDatabase ?? (await createDatabase()))
    const nats = inMemory || topology === 'workers' ? undefined : (givenNats ?? (await startNats(natsMaxPayload)))
    const cluster = new Cluster(topology, await mkdtemp(join(tmpdir(), 'parsec-run-')), database, nats)
    try {
      const env: Environment = {
        PATH: process.env.PATH,
        HOME: cluster.folder,
        TMPDIR: cluster.folder,
        LC_ALL: 'C.UTF-8',
        ...more,
      }
      if (database && !givenDatabase) await migrate(database.url, env)
      if (database && !givenDatabase && isDatabaseProxied) cluster.#databaseProxy = await TcpProxy.start(database.url)
      if (nats && !givenNats && topology === 'pairs') cluster.#natsProxy = await TcpProxy.start(nats.url)
      const ports = await Promise.all(LAYOUTS[topology].map(freePort))
      const frontedPorts = LAYOUTS[topology].flatMap(([name], i) => (FRONTED.includes(name) ? [ports[i]!] : []))
      if (frontedPorts.length > 0) cluster.#front = await startFront(frontedPorts, ports.at(-1)!)
      const common = [
        `--administration-token=${ADMINISTRATION_TOKEN}`,
        `--db=${cluster.#databaseProxy?.url ?? database?.url ?? 'MOCKED'}`,
        ...[blockstore ?? (inMemory ? 'MOCKED' : 'POSTGRESQL')].flat().map(store => `--blockstore=${store}`),
        `--backend-addr=${backendAddr ?? `parsec://127.0.0.1:${cluster.#front?.port ?? ports[0]}?no_ssl=true`}`,
        ...(debug ? ['--debug'] : []),
        ...(topology === 'workers' ? ['--workers=2'] : []),
        // No line may hold a secret, not even those that nobody asks for.
        '--log-level=DEBUG',
        ...(flags.some(flag => flag.startsWith('--email-host')) ? [] : ['--email-host=MOCKED']),
        ...flags,
      ]
      for (const [i, [name, services]] of LAYOUTS[topology].entries()) {
        const natsUrl = cluster.#natsProxy?.url ?? nats?.urlOf?.(i) ?? nats?.url
        const options = [...(natsUrl ? [`--nats-url=${natsUrl}`] : []), ...common]
        cluster.processes.set(
          name,
          new ServerProcess(name, services, ports[i]!, await freePort(), options, env, nodeArgv, programs[name]),
        )
      }
      await Promise.all([...cluster.processes.values()].map(server => server.start()))
      return cluster
    } catch (error) {
      await cluster.stop()
      throw error
    }
  }

  /** Where clients connect, `ws://…`; the administration API is there too. */
  get url(): string {
    return `ws://127.0.0.1:${this.#front?.port ?? this.processes.values().next().value!.port}`
  }
  /** In front of the database, when that was asked for. */
  get databaseProxy(): TcpProxy | undefined {
    return this.#databaseProxy
  }
  /** In front of the broker, for the topology `pairs`. */
  get natsProxy(): TcpProxy | undefined {
    return this.#natsProxy
  }
  process(name: string): ServerProcess {
    const found = this.processes.get(name)
    if (!found) throw new Error(`no process ${name} in ${[...this.processes.keys()]}`)
    return found
  }
  /** What every process wrote last, for the report of a failure. */
  get output(): string {
    return [...this.processes.values()].map(server => `--- ${server.name}\n${server.output}`).join('\n')
  }

  async stop(): Promise<void> {
    await this.#front?.close()
    await Promise.all([...this.processes.values()].map(server => server.end()))
    await this.#databaseProxy?.close()
    await this.#natsProxy?.close()
    await this.nats?.stop()
    await this.database?.drop()
    await rm(this.folder, { recursive: true, force: true })
  }
}

/** One `parsec backend run`. */
export class ServerProcess {
  readonly name: string
  readonly port: number
  readonly monitorPort: number
  /** From the next start on. */
  program: Program
  readonly #nodeArgv: readonly string[]
  readonly #argv: readonly string[]
  readonly #env: Environment
  readonly #listens: boolean
  #child: Child | undefined

  constructor(
    name: string,
    services: string,
    port: number,
    monitorPort: number,
    options: readonly string[],
    env: Environment,
    nodeArgv: readonly string[] = [],
    program: Program = NODE_ARGV,
  ) {
    this.name = name
    this.port = port
    this.monitorPort = monitorPort
    this.#listens = services === '' || services === 'gateway' || services === 'admin'
    this.program = program
    this.#nodeArgv = nodeArgv
    this.#argv = [
      'backend',
      'run',
      `--port=${port}`,
      `--monitor-port=${monitorPort}`,
      ...(services === '' ? [] : [`--services=${services}`]),
      ...options,
    ]
    this.#env = env
  }

  async start(): Promise<void> {
    const argv = [...this.#nodeArgv, ...this.program, ...this.#argv]
    this.#child = new Child(this.name, process.execPath, argv, this.#env)
    await this.#child.until(() => (this.#listens ? isListening(this.port) : this.isReady()))
  }
  /** Hears all that it writes from now on until it ends, in pieces. */
  hear(listener: (text: string) => void): void {
    for (const stream of [this.#child?.process.stdout, this.#child?.process.stderr]) stream?.on('data', listener)
  }
  /** Whether `/readyz` says so. */
  async isReady(): Promise<boolean> {
    try {
      return (await fetch(`http://127.0.0.1:${this.monitorPort}/readyz`)).ok
    } catch {
      return false
    }
  }
  get url(): string {
    return `ws://127.0.0.1:${this.port}`
  }
  get pid(): number {
    return this.#child?.pid ?? 0
  }
  /** Null while it runs, and when a signal ended it. */
  get exitCode(): number | null {
    return this.#child?.exitCode ?? null
  }
  get isRunning(): boolean {
    return this.#child !== undefined && !this.#child.isOver
  }
  get output(): string {
    return this.#child?.output ?? ''
  }
  signal(signal: NodeJS.Signals): void {
    this.#child?.process.kill(signal)
  }
  async end(signal?: NodeJS.Signals): Promise<void> {
    await this.#child?.end(signal)
  }
  async restart(signal?: NodeJS.Signals): Promise<void> {
    await this.end(signal)
    await this.start()
  }
}

export async function migrate(url: string, env: Environment, program: Program = NODE_ARGV): Promise<void> {
  const child = new Child('migrate', process.execPath, [...program, 'backend', 'migrate', `--db=${url}`], env)
  await child.exited
  if (child.exitCode !== 0) throw new Error(`migration failed (${child.exitCode}):\n${child.output}`)
}
