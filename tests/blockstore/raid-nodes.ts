/** Nodes of a RAID on real back ends: each can go away in the ways that it has, come back, and be replaced by an empty one. */
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NodeConfig } from '@parsec/blockstore/stores/registry'
import pg from 'pg'
import { backing, type TestDatabase } from '../harness/backing.ts'
import { type BackEnds, type StartedBackEnds, startBackEnds } from './back-ends.ts'
import { type Fault, FaultProxy } from './fault-proxy.ts'

/** `all`: a node of each. */
export const KINDS = ['S3', 'Swift v1', 'Swift with Keystone', 'FILE', 'POSTGRESQL', 'all'] as const
export type Kind = (typeof KINDS)[number]

/** A way to be away. */
export type Outage = { readonly name: string; begin(): Promise<void> }

export interface Node {
  readonly name: string
  readonly outages: readonly Outage[]
  /** One in which every request fails at once, for when the outage itself is not what is looked at. */
  readonly briefest: Outage
  /** Changes with `replace`. */
  readonly config: NodeConfig
  /** Ends an outage. */
  comeBack(): Promise<void>
  /** Empties it, as a new disk or bucket is empty. */
  replace(): Promise<void>
  close(): Promise<void>
}

/** Nodes of a homogeneous RAID. */
const NODES = 3

/** Makes nodes whose storage nobody else uses. `database`: the only one of POSTGRESQL nodes. */
export class NodeMaker {
  readonly #database: TestDatabase
  readonly #folder: string
  /** Started by the first node that needs them. */
  #backEnds: Promise<StartedBackEnds> | undefined

  private constructor(database: TestDatabase, folder: string) {
    this.#database = database
    this.#folder = folder
  }
  static async start(database: TestDatabase): Promise<NodeMaker> {
    return new NodeMaker(database, await mkdtemp(join(tmpdir(), 'parsec-nodes-')))
  }
  async stop(): Promise<void> {
    await (await this.#backEnds)?.stop()
    await rm(this.#folder, { recursive: true, force: true })
  }

  async nodes(kind: Kind): Promise<readonly Node[]> {
    switch (kind) {
      case 'all':
        return Promise.all([
          this.#object('s3'),
          this.#object('swift'),
          this.#object('keystone'),
          this.#file(),
          this.#row(),
        ])
      case 'POSTGRESQL':
        // A RAID has one such node at most, since all of them are the same table: the one that goes away here.
        return Promise.all([this.#row(), this.#file(), this.#file()])
      case 'FILE':
        return Promise.all(Array.from({ length: NODES }, () => this.#file()))
      default: {
        const name = ({ S3: 's3', 'Swift v1': 'swift', 'Swift with Keystone': 'keystone' } as const)[kind]
        return Promise.all(Array.from({ length: NODES }, () => this.#object(name)))
      }
    }
  }

  async #object(kind: keyof BackEnds): Promise<Node> {
    this.#backEnds ??= startBackEnds()
    return ObjectNode.start(await this.#backEnds, kind)
  }
  async #file(): Promise<Node> {
    const node = new FileNode(join(this.#folder, randomBytes(6).toString('hex')))
    await node.replace()
    return node
  }
  async #row(): Promise<Node> {
    return new DatabaseNode(this.#database, (await backing('postgres'))['TEST_PG_ADMIN_URL']!)
  }
}

/** A store repeats requests that meet them. */
const PASSING: readonly Fault[] = [{ kind: 'reset' }, { kind: 'status', status: 503 }]
const REFUSAL: Fault = { kind: 'status', status: 403 }

class ObjectNode implements Node {
  readonly name: string
  readonly #backEnds: StartedBackEnds
  readonly #kind: keyof BackEnds
  readonly #proxies: readonly FaultProxy[]
  #config: NodeConfig | undefined

  private constructor(backEnds: StartedBackEnds, kind: keyof BackEnds, proxies: readonly FaultProxy[]) {
    this.name = backEnds[kind].name
    this.#backEnds = backEnds
    this.#kind = kind
    this.#proxies = proxies
  }
  static async start(backEnds: StartedBackEnds, kind: keyof BackEnds): Promise<ObjectNode> {
    const { url, storageUrl } = backEnds[kind]
    const storage = storageUrl === undefined ? undefined : await FaultProxy.start(storageUrl)
    const front = await FaultProxy.start(url, storage && { from: storageUrl!, to: storage.url })
    const node = new ObjectNode(backEnds, kind, storage ? [front, storage] : [front])
    await node.replace()
    return node
  }
  get config(): NodeConfig {
    return this.#config!
  }
  get outages(): readonly Outage[] {
    return PASSING.map(fault => this.#outage(fault))
  }
  get briefest(): Outage {
    return this.#outage(REFUSAL)
  }
  async comeBack(): Promise<void> {
    this.#suffer(undefined)
  }
  async replace(): Promise<void> {
    const container = await this.#backEnds.another(`node-${randomBytes(6).toString('hex')}`)
    this.#config = container[this.#kind].store(this.#proxies[0]!.url)
  }
  async close(): Promise<void> {
    await Promise.all(this.#proxies.map(proxy => proxy.close()))
  }
  #outage(fault: Fault): Outage {
    return {
      name: fault.kind === 'status' ? `answers ${fault.status}` : fault.kind,
      begin: async () => this.#suffer(fault),
    }
  }
  #suffer(fault: Fault | undefined): void {
    for (const proxy of this.#proxies) {
      proxy.fault = () => fault
      proxy.seen.length = 0
    }
  }
}

/** Tests may run as root, whom permissions do not stop. */
class FileNode implements Node {
  readonly name = 'FILE'
  readonly config: NodeConfig
  readonly #directory: string
  readonly #away: string
  constructor(directory: string) {
    this.config = { type: 'FILE', directory }
    this.#directory = directory
    this.#away = `${directory}.away`
  }
  readonly outages: readonly Outage[] = [
    { name: 'has no directory', begin: () => rename(this.#directory, this.#away) },
    {
      name: 'has a file for a directory',
      begin: async () => {
        await rename(this.#directory, this.#away)
        await writeFile(this.#directory, '')
      },
    },
  ]
  readonly briefest = this.outages[0]!
  async comeBack(): Promise<void> {
    await rm(this.#directory, { force: true })
    await rename(this.#away, this.#directory)
  }
  async replace(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true })
    await mkdir(this.#directory)
  }
  async close(): Promise<void> {}
}

class DatabaseNode implements Node {
  readonly name = 'POSTGRESQL'
  readonly config: NodeConfig = { type: 'POSTGRESQL' }
  readonly #database: TestDatabase
  /** Reaches the server while the database refuses everybody. */
  readonly #adminUrl: string
  constructor(database: TestDatabase, adminUrl: string) {
    this.#database = database
    this.#adminUrl = adminUrl
  }
  readonly outages: readonly Outage[] = [
    {
      name: 'refuses connections',
      begin: async () => {
        await this.#administrate(`ALTER DATABASE ${this.#databaseName} ALLOW_CONNECTIONS false`)
        await this.#administrate(
          `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '${this.#databaseName}'`,
        )
      },
    },
  ]
  readonly briefest = this.outages[0]!
  comeBack(): Promise<void> {
    return this.#administrate(`ALTER DATABASE ${this.#databaseName} ALLOW_CONNECTIONS true`)
  }
  async replace(): Promise<void> {
    await this.#database.query('DELETE FROM block_data')
  }
  close(): Promise<void> {
    return this.replace()
  }

  get #databaseName(): string {
    return new URL(this.#database.url).pathname.slice(1)
  }
  async #administrate(text: string): Promise<void> {
    const client = new pg.Client({ connectionString: this.#adminUrl })
    await client.connect()
    try {
      await client.query(text)
    } finally {
      await client.end()
    }
  }
}
