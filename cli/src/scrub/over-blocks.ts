/** What the commands have in common that go over all blocks: a checked database, and an interruption after which they go on. */
import type { NetworkOptions } from '@parsec/blockstore/stores/network'
import type { DatabaseConfig } from '@parsec/shared/config'
import { createLog, type Log } from '@parsec/shared/log'
import type { Database } from '@parsec/shared/postgres/database'
import { stopSignal } from '../server/signals.ts'
import { trustSystem } from '../server/trust.ts'
import { logOptions, networkOptions } from '../settings.ts'

type Values = Parameters<typeof logOptions>[0] & { state?: string | undefined }
type Around = { database: Database; log: Log; network: NetworkOptions; signal: AbortSignal }

/**
 * Runs `work`; false when it was interrupted by a signal, which `report` tells. Throws `OperatorError` when the schema is
 * not that of this release, and what `work` throws.
 */
export async function overBlocks(
  config: Extract<DatabaseConfig, { kind: 'POSTGRESQL' }>,
  values: Values,
  report: { interrupted(hint: string): void },
  work: (around: Around) => Promise<void>,
): Promise<boolean> {
  trustSystem()
  const log = createLog(logOptions(values))
  const stopping = new AbortController()
  const { signal } = stopping
  void stopSignal(() => log.reopen()).then(() => stopping.abort(new Error('interrupted')))
  try {
    const { openDatabase } = await import('@parsec/metadata/storage/database')
    const { requireMigrated } = await import('@parsec/metadata/storage/migrations')
    const { database, close } = await openDatabase(config, log)
    try {
      await requireMigrated(database)
      await work({ database, log, network: networkOptions(process.env), signal })
    } finally {
      await close()
    }
    return true
  } catch (error) {
    if (!signal.aborted) throw error
    report.interrupted(values.state ? 'The same command goes on from here.' : 'With --state it could go on from here.')
    return false
  } finally {
    await log.close()
  }
}
