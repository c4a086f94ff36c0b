/** From what the operator configured to a store that works. */
import type { BlockstoreConfig, NodeConfig, StoreConfig } from '@parsec/shared/config'
import { OperatorError } from '@parsec/shared/errors'
import type { Log } from '@parsec/shared/log'
import type { Metrics } from '@parsec/shared/metrics'
import { Database } from '@parsec/shared/postgres/database'
import { Raid0Store } from '../raid/raid0.ts'
import { Raid1Store } from '../raid/raid1.ts'
import { RAID5_MIN_NODES, Raid5Store } from '../raid/raid5.ts'
import { FileStore } from './file.ts'
import { MockedStore } from './mocked.ts'
import type { NetworkOptions } from './network.ts'
import { StoreNode } from './node.ts'
import { PostgresqlStore } from './postgresql.ts'
import { S3Store } from './s3.ts'
import { type BlockStore, type ObjectStore, StoreError } from './store.ts'
import { SwiftStore } from './swift.ts'

export type StoreDeps = {
  config: BlockstoreConfig
  log: Log
  metrics: Metrics
  network: NetworkOptions
  /** That of the metadata service in the same process, null in a process of its own. */
  database: Database | null
}

/** Connections of a shared pool that blocks leave to everything else. */
const SPARED_CONNECTIONS = 2

/** Opens the store. Throws `OperatorError` when the configuration cannot work; nothing stays open then. */
export async function openStore(deps: StoreDeps): Promise<BlockStore> {
  const { store } = deps.config
  const opened = 'nodes' in store ? await makeRaid(store, deps) : await makeNode(store, deps)
  try {
    await opened.open()
  } catch (error) {
    await opened.close()
    if (!(error instanceof StoreError)) throw error
    throw new OperatorError(`${error.message}; check --blockstore and the network`, { cause: error })
  }
  return opened
}

async function makeRaid(raid: Extract<StoreConfig, { nodes: unknown }>, deps: StoreDeps): Promise<BlockStore> {
  if (raid.type === 'RAID5' && raid.nodes.length < RAID5_MIN_NODES) {
    throw new OperatorError(`RAID5 block store needs at least ${RAID5_MIN_NODES} nodes`)
  }
  const members: BlockStore[] = []
  try {
    for (const node of raid.nodes) members.push(await makeNode(node, deps))
  } catch (error) {
    await Promise.all(members.map(member => member.close()))
    throw error
  }
  const options = { log: deps.log, partialCreateOk: deps.config.raidDegradedWrites ?? false }
  switch (raid.type) {
    case 'RAID0':
      return new Raid0Store(members, options)
    case 'RAID1':
      return new Raid1Store(members, options)
    case 'RAID5':
      return new Raid5Store(members, options)
  }
}

async function makeNode(node: NodeConfig, deps: StoreDeps): Promise<BlockStore> {
  const { name, store, concurrency } = await makeObjectStore(node, deps)
  return new StoreNode(name, store, { metrics: deps.metrics, ...(concurrency && { concurrency }) })
}

/** A back end that is not opened yet, and how people call it. */
export type NamedStore = { name: string; store: ObjectStore; concurrency?: number }

/** Throws `OperatorError` when the settings cannot work. */
export async function makeObjectStore(
  node: NodeConfig,
  { config, log, network, database: shared }: Omit<StoreDeps, 'metrics'>,
): Promise<NamedStore> {
  switch (node.type) {
    case 'MOCKED':
      return { name: 'MOCKED', store: new MockedStore() }
    case 'POSTGRESQL': {
      const { database } = config
      if (database.kind === 'MOCKED') throw new OperatorError('PostgreSQL block store is not available')
      const { target, maxConnections } = database
      const own = shared ? null : new Database({ target, minConnections: 0, maxConnections }, log)
      // Who waits for the gate waits within its deadline; who waits for the pool would fail after a few seconds.
      const concurrency = shared ? Math.max(1, maxConnections - SPARED_CONNECTIONS) : maxConnections
      return {
        name: 'POSTGRESQL',
        store: new PostgresqlStore(shared ?? own!, own, { isNode: 'nodes' in config.store }),
        concurrency,
      }
    }
    case 'S3': {
      const store = await S3Store.make(node, network)
      return { name: `S3 ${node.bucket} at ${store.host}`, store }
    }
    case 'SWIFT': {
      const store = await SwiftStore.make(node, network)
      return { name: `Swift ${node.container} at ${store.host}`, store }
    }
    case 'FILE':
      return { name: `file ${node.directory}`, store: new FileStore(node.directory) }
  }
}
