/** `parsec backend import`: takes over organizations of an original server (spec 07). */
import { createLog } from '@parsec/shared/log'
import { readDatabaseUrl } from '@parsec/shared/postgres/url'
import { EXIT_FAILURE, EXIT_OK, type Output, UsageError } from '../../command-line/output.ts'
import { ParsecCommand } from '../../command-line/parsec-command.ts'
import { logOptions, networkOptions } from '../../settings.ts'
import type { ImportOptions } from '../../takeover/import.ts'
import { type ImportValues, importOptions } from '../../takeover/options.ts'
import { EXIT_LEFT_OUT, ImportReport } from '../../takeover/report.ts'

export const importSpec = {
  path: 'parsec backend import',
  options: importOptions,
  summary: 'Take over the organizations of another Parsec server.',
  description:
    "Copy organizations from the database of an original Parsec server (v1.14 to v2.17) into that of this one. The source is read as it is at one moment and never written. Each organization comes whole or not at all; an interrupted import goes on when it is run again. Everything is checked before: certificates up to the root key, change logs, versions, sizes.\n\nObjects on S3 and Swift stay where they are: give this server the same --blockstore. Blocks in the source's database are copied into this one, or with --copy-blocks into --blockstore.\n\nExits with 0 when all is done, 3 when it is but some rows were left out, 1 when something was refused or failed.",
  examples: [
    'parsec backend import --from postgresql://old-db/parsec --db postgresql://new-db/parsec --dry-run',
    'parsec backend import --from postgresql://old-db/parsec --db postgresql://new-db/parsec',
    "parsec backend import --from postgresql://… --db postgresql://… --blockstore 's3:…' --copy-blocks",
    'parsec backend import --from postgresql://… --db postgresql://… --verify',
  ],
} as const

export class Import extends ParsecCommand<typeof importOptions> {
  static override summary: string = importSpec.summary
  protected readonly spec = importSpec

  protected override async execute(values: ImportValues, output: Output): Promise<number> {
    if (values.copyBlocks && !values.blockstore)
      throw new UsageError("Option '--copy-blocks' needs '--blockstore': where to write them.")
    const { requireMigrated } = await import('@parsec/metadata/storage/migrations')
    const { openPostgres } = await import('@parsec/shared/postgres/open')
    const { importOrganizations } = await import('../../takeover/import.ts')
    const log = createLog(logOptions(values))
    const db = readDatabaseUrl(values.db!, process.env)
    const pool = { kind: 'POSTGRESQL' as const, target: db, minConnections: 0, maxConnections: CONNECTIONS }
    const config = { ...pool, maxAttempts: 1, retryPauseSeconds: 0 }
    const database = await openPostgres(config, log)
    const terminal = process.stderr.isTTY === true
    const report = new ImportReport(output, { json: values.json, terminal, file: values.report })
    const stores: { close(): Promise<void> }[] = []
    try {
      await requireMigrated(database)
      const common = {
        from: readDatabaseUrl(values.from!, process.env),
        db,
        organizations: values.organization,
        report,
      }
      await importOrganizations({
        ...common,
        dryRun: values.dryRun,
        skipVerification: values.skipVerification,
        defaults: { isOutsiderAllowed: values.organizationInitialUserProfileOutsiderAllowed },
        blockData: await blockData(),
      })
      report.end()
      if (report.refused > 0) return EXIT_FAILURE
      return report.leftOut > 0 ? EXIT_LEFT_OUT : EXIT_OK
    } finally {
      report.clear()
      for (const store of stores) await store.close()
      await database.close()
      await log.close()
    }

    async function blockData(): Promise<ImportOptions['blockData']> {
      const { blockstore, copyBlocks, dryRun } = values
      if (!blockstore || (!copyBlocks && 'type' in blockstore && blockstore.type === 'POSTGRESQL'))
        return { kind: 'copy' }
      if (!copyBlocks || dryRun) return { kind: 'leave' }
      const { openStore } = await import('@parsec/blockstore/stores/open')
      const { noMetrics } = await import('@parsec/shared/metrics')
      const store = await openStore({
        config: { store: blockstore, database: config },
        log,
        metrics: noMetrics,
        network: networkOptions(process.env),
        database,
      })
      stores.push(store)
      return { kind: 'store', store }
    }
  }
}

/** For a POSTGRESQL node among the stores; the import has sessions of its own. */
const CONNECTIONS = 4
