/** From what the operator configured to a store that works. */
import { OperatorError } from '@parsec/shared/errors'
import type { Log } from '@parsec/shared/log'
import type { Metrics } from '@parsec/shared/metrics'
import type { Database } from '@parsec/shared/postgres/database'
import type { BlockstoreConfig } from '../config.ts'
import { Raid0Store } from '../raid/raid0.ts'
import { Raid1Store } from '../raid/raid1.ts'
import { RAID5_MIN_NODES, Raid5Store } from '../raid/raid5.ts'
import type { NamedStore } from './kind.ts'
import { kindOf, type NodeConfig, type StoreConfig } from './kinds.ts'
import type { NetworkOptions } from './network.ts'
import { StoreNode } from './node.ts'
import { type BlockStore, StoreError } from './store.ts'

export type StoreDeps = {
  config: BlockstoreConfig
  log: Log
  metrics: Metrics
  network: NetworkOptions
  /** That of the metadata service in the same process, null in a process of its own. */
  database: Database | null
}

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

/** Throws `OperatorError` when the settings cannot work. */
export const makeObjectStore = (
  node: NodeConfig,
  { config, ...deps }: Omit<StoreDeps, 'metrics'>,
): Promise<NamedStore> =>
  kindOf(node).make(node, { ...deps, databaseConfig: config.database, isNode: 'nodes' in config.store })
