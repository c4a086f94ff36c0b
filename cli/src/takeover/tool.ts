/** What the commands of a take-over have in common: the database, checked, and the block store when one is given. */

import type { StoreConfig } from '@parsec/blockstore/stores/kinds'
import type { BlockStore, ObjectStore } from '@parsec/blockstore/stores/store'
import { createLog, type LogOptions } from '@parsec/shared/log'
import { noMetrics } from '@parsec/shared/metrics'
import type { Target } from '@parsec/shared/postgres/target'
import { readDatabaseUrl } from '@parsec/shared/postgres/url'
import { logOptions, networkOptions } from '../settings.ts'

/** Connections for POSTGRESQL nodes; the work in bulk has sessions of its own. */
const CONNECTIONS = 4

type ToolValues = Parameters<typeof logOptions>[0] & { db: string | undefined }
export type Tool = {
  readonly target: Target
  /** Opens the store; it is closed at the end. */
  openStore(store: StoreConfig): Promise<BlockStore>
  /** Opens its nodes. */
  openNodes(store: StoreConfig): Promise<ObjectStore[]>
}

/** Throws `OperatorError` when the schema is not that of this release. */
export async function withTool<T>(values: ToolValues, work: (tool: Tool) => Promise<T>): Promise<T> {
  const { openPostgres } = await import('@parsec/shared/postgres/open')
  const { requireMigrated } = await import('@parsec/metadata/storage/migrations')
  const { makeObjectStore, openStore } = await import('@parsec/blockstore/stores/open')
  const options: LogOptions = logOptions(values)
  const log = createLog(options)
  const target = readDatabaseUrl(values.db!, process.env)
  const config = {
    ...{ kind: 'POSTGRESQL' as const, target, minConnections: 0, maxConnections: CONNECTIONS },
    ...{ maxAttempts: 1, retryPauseSeconds: 0 },
  }
  const network = networkOptions(process.env)
  const opened: { close(): Promise<void> }[] = []
  try {
    const database = await openPostgres(config, log)
    opened.push(database)
    await requireMigrated(database)
    return await work({
      target,
      async openStore(store) {
        const deps = { config: { store, database: config }, log, metrics: noMetrics, network, database }
        const found = await openStore(deps)
        opened.push(found)
        return found
      },
      async openNodes(store) {
        const nodes: ObjectStore[] = []
        for (const node of 'nodes' in store ? store.nodes : [store]) {
          const { store: found } = await makeObjectStore(node, {
            config: { store, database: config },
            log,
            network,
            database,
          })
          opened.push(found)
          await found.open()
          nodes.push(found)
        }
        return nodes
      },
    })
  } finally {
    for (const resource of opened.reverse()) await resource.close()
    await log.close()
  }
}
