/** From what the operator configured to a store that works. */
import { STORE_OPEN_MS } from '@parsec/shared/deadlines'
import { OperatorError, Unavailable } from '@parsec/shared/errors'
import type { Log } from '@parsec/shared/log'
import type { Metrics } from '@parsec/shared/metrics'
import type { Database } from '@parsec/shared/postgres/database'
import type { BlockstoreConfig } from '../config.ts'
import { Identity } from '../identity/identity.ts'
import type { Register } from '../identity/register.ts'
import { Raid0Store } from '../raid/raid0.ts'
import { Raid1Store } from '../raid/raid1.ts'
import { RAID5_MIN_NODES, Raid5Store } from '../raid/raid5.ts'
import { withDeadline } from './deadline.ts'
import type { NamedStore } from './kind.ts'
import type { NetworkOptions } from './network.ts'
import { StoreNode } from './node.ts'
import { kindOf, type NodeConfig, nodesOf, type StoreConfig } from './registry.ts'
import { type BlockStore, StoreError } from './store.ts'

export type StoreDeps = {
  config: BlockstoreConfig
  log: Log
  metrics: Metrics
  network: NetworkOptions
  /** That of the metadata service in the same process, null in a process of its own. */
  database: Database | null
  /** Where it is written down which storages are the nodes; null: nobody asks. */
  register?: Register | null
}

/** Opens the store. Throws `OperatorError` when the configuration cannot work; nothing stays open then. */
export async function openStore(deps: StoreDeps): Promise<BlockStore> {
  const { store } = deps.config
  const nodes = await makeNodes(store, deps)
  const opened = assemble(store, nodes, deps)
  try {
    await opened.open()
    await identify(store, nodes, deps)
  } catch (error) {
    await opened.close()
    if (!(error instanceof StoreError)) throw error
    throw new OperatorError(`${error.message}; check --blockstore and the network`, { cause: error })
  }
  return opened
}

async function makeNodes(store: StoreConfig, deps: StoreDeps): Promise<[StoreNode, ...StoreNode[]]> {
  const nodes: StoreNode[] = []
  const [first, ...others] = nodesOf(store)
  try {
    for (const node of others) nodes.push(await makeNode(node, deps))
    return [await makeNode(first!, deps), ...nodes]
  } catch (error) {
    await Promise.all(nodes.map(node => node.close()))
    throw error
  }
}
async function makeNode(node: NodeConfig, deps: StoreDeps): Promise<StoreNode> {
  const { name, store, concurrency } = await makeObjectStore(node, deps)
  return new StoreNode(name, store, { metrics: deps.metrics, ...(concurrency && { concurrency }) })
}

function assemble({ type }: StoreConfig, nodes: readonly [StoreNode, ...StoreNode[]], deps: StoreDeps): BlockStore {
  if (type === 'RAID5' && nodes.length < RAID5_MIN_NODES)
    throw new OperatorError(`RAID5 block store needs at least ${RAID5_MIN_NODES} nodes`)
  const options = { log: deps.log, partialCreateOk: deps.config.raidDegradedWrites ?? false }
  switch (type) {
    case 'RAID0':
      return new Raid0Store(nodes, options)
    case 'RAID1':
      return new Raid1Store(nodes, options)
    case 'RAID5':
      return new Raid5Store(nodes, options)
    default:
      return nodes[0]
  }
}

/** Throws `OperatorError` when a storage is not the node that it should be. */
async function identify(
  { type }: StoreConfig,
  nodes: readonly StoreNode[],
  { register, log }: StoreDeps,
): Promise<void> {
  if (!register) return
  const identity = new Identity(type, nodes, register, log)
  const away = new Set([...nodes.keys()].filter(index => nodes[index]!.isAway))
  let isChecked = true
  try {
    await withDeadline(null, STORE_OPEN_MS, signal => identity.check(away, signal))
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error
    isChecked = false
    log.info('Block store nodes are checked later', { cause: error.message })
  }
  for (const [index, node] of nodes.entries()) node.checkWith(signal => identity.checkOne(index, signal), isChecked)
}

/** Throws `OperatorError` when the settings cannot work. */
export const makeObjectStore = (
  node: NodeConfig,
  { config, ...deps }: Omit<StoreDeps, 'metrics' | 'register'>,
): Promise<NamedStore> =>
  kindOf(node).make(node, { ...deps, databaseConfig: config.database, isNode: 'nodes' in config.store })
