/** From what the operator configured to a store that works. */
import type { BlockstoreConfig, NodeConfig, StoreConfig } from '@parsec/shared/config'
import { OperatorError } from '@parsec/shared/errors'
import type { Log } from '@parsec/shared/log'
import { connectionFromUrl, Database } from '@parsec/shared/postgres'
import { MockedStore } from './mocked.ts'
import type { NetworkOptions } from './network.ts'
import { StoreNode } from './node.ts'
import { PostgresqlStore } from './postgresql.ts'
import { Raid0Store } from './raid0.ts'
import { Raid1Store } from './raid1.ts'
import { RAID5_MIN_NODES, Raid5Store } from './raid5.ts'
import { S3Store } from './s3.ts'
import { type BlockStore, StoreError } from './store.ts'
import { SwiftStore } from './swift.ts'

/** Opens the store. Throws `OperatorError` when the configuration cannot work; nothing stays open then. */
export async function openStore(config: BlockstoreConfig, log: Log, network: NetworkOptions): Promise<BlockStore> {
  const { store } = config
  const opened =
    'nodes' in store ? await makeRaid(store, config, log, network) : await makeNode(store, config, log, network)
  try {
    await opened.open()
  } catch (error) {
    await opened.close()
    if (!(error instanceof StoreError)) throw error
    throw new OperatorError(`${error.message}; check --blockstore and the network`, { cause: error })
  }
  return opened
}

async function makeRaid(
  { type, nodes }: Extract<StoreConfig, { nodes: unknown }>,
  config: BlockstoreConfig,
  log: Log,
  network: NetworkOptions,
): Promise<BlockStore> {
  if (type === 'RAID5' && nodes.length < RAID5_MIN_NODES)
    throw new OperatorError('RAID5 block store needs at least 3 nodes')
  const members = await Promise.all(nodes.map(node => makeNode(node, config, log, network)))
  const options = { log, partialCreateOk: false }
  switch (type) {
    case 'RAID0':
      return new Raid0Store(members, options)
    case 'RAID1':
      return new Raid1Store(members, options)
    case 'RAID5':
      return new Raid5Store(members, options)
  }
}

async function makeNode(
  node: NodeConfig,
  { database }: BlockstoreConfig,
  log: Log,
  network: NetworkOptions,
): Promise<BlockStore> {
  switch (node.type) {
    case 'MOCKED':
      return new StoreNode('MOCKED', new MockedStore())
    case 'POSTGRESQL': {
      if (database.kind === 'MOCKED') throw new OperatorError('PostgreSQL block store is not available')
      const { url, maxConnections } = database
      const pool = new Database({ connection: connectionFromUrl(url), minConnections: 0, maxConnections }, log)
      return new StoreNode('POSTGRESQL', new PostgresqlStore(pool), maxConnections)
    }
    case 'S3':
      return new StoreNode(`S3 ${node.bucket}`, await S3Store.make(node, network))
    case 'SWIFT':
      return new StoreNode(`Swift ${node.container}`, await SwiftStore.make(node, network))
  }
}
