/** What the commands of a take-over have in common: the database, checked, and the block store when one is given. */

import type { StoreConfig } from '@parsec/blockstore/stores/registry'
import type { BlockStore } from '@parsec/blockstore/stores/store'
import { createLog, type LogOptions } from '@parsec/shared/log'
import { noMetrics } from '@parsec/shared/metrics'
import type { Database } from '@parsec/shared/postgres/database'
import type { Target } from '@parsec/shared/postgres/target'
import { readDatabaseUrl } from '@parsec/shared/postgres/url'
import { trustSystem } from '../server/trust.ts'
import { logOptions, networkOptions } from '../settings.ts'

/** Connections for POSTGRESQL nodes; the work in bulk has sessions of its own. */
const CONNECTIONS = 4

type ToolValues = Parameters<typeof logOptions>[0] & { db: string | undefined }
export type Tool = {
  readonly target: Target
  readonly database: Database
  /**
   * Opens the store, which is closed at the end. It must be that of the database when it is said to be `ours`; `known`: when
   * the database knows one.
   */
  openStore(store: StoreConfig, whose?: 'ours' | 'known'): Promise<BlockStore>
}

/** Throws `OperatorError` when the schema is not that of this release. */
export async function withTool<T>(values: ToolValues, work: (tool: Tool) => Promise<T>): Promise<T> {
  const { openPostgres } = await import('@parsec/shared/postgres/open')
  const { requireMigrated } = await import('@parsec/metadata/storage/migrations')
  const { openStore } = await import('@parsec/blockstore/stores/open')
  const { databaseRegister } = await import('@parsec/blockstore/identity/register')
  const { registeredNodes } = await import('@parsec/shared/postgres/blockstore-nodes')
  const options: LogOptions = logOptions(values)
  const log = createLog(options)
  const target = readDatabaseUrl(values.db!, process.env)
  const config = {
    ...{ kind: 'POSTGRESQL' as const, target, minConnections: 0, maxConnections: CONNECTIONS },
    ...{ maxAttempts: 1, retryPauseSeconds: 0 },
  }
  trustSystem()
  const network = networkOptions(process.env)
  const opened: { close(): Promise<void> }[] = []
  try {
    const database = await openPostgres(config, log)
    opened.push(database)
    await requireMigrated(database)
    return await work({
      target,
      database,
      async openStore(store, whose) {
        const isOurs = whose === 'ours' || (whose === 'known' && (await registeredNodes(database)).length > 0)
        const register = isOurs ? databaseRegister(database) : null
        const deps = { config: { store, database: config }, log, metrics: noMetrics, network, database, register }
        const found = await openStore(deps)
        opened.push(found)
        return found
      },
    })
  } finally {
    for (const resource of opened.reverse()) await resource.close()
    await log.close()
  }
}
