/** `parsec backend sequester export_realm`: what a service may read of a realm, as a file (spec 06 §6.5). */
import type { Values } from '../../../command-line/option.ts'
import { EXIT_FAILURE, EXIT_OK, type Output } from '../../../command-line/output.ts'
import { ParsecCommand } from '../../../command-line/parsec-command.ts'
import { trustSystem } from '../../../server/trust.ts'
import { networkOptions, postgresPool } from '../../../settings.ts'
import { withDatabase } from '../../../tool-database.ts'
import { exportRealmOptions } from '../../../tool-options.ts'

export const exportRealmSpec = {
  path: 'parsec backend sequester export_realm',
  options: exportRealmOptions,
  summary: 'Export a realm for a sequester service.',
  description:
    'Write an SQLite file with what a realm holds for a service: the versions that were encrypted for it, all blocks, and the certificates to check them. All of it is still encrypted; extract_realm_export decrypts it with the private key of the service. Run again on the same file it adds what is new or missing. Exits with 1 when blocks could not be read; everything else is in the file then.',
  examples: [
    'parsec backend sequester export_realm --organization Acme --realm 5ab0…c1 --service 9c1f…0a \\',
    '    --output exports/ --blockstore-file /run/secrets/blockstore',
  ],
} as const

export class ExportRealm extends ParsecCommand<typeof exportRealmOptions> {
  static override summary: string = exportRealmSpec.summary
  protected readonly spec = exportRealmSpec

  protected override async execute(values: Values<typeof exportRealmOptions>, output: Output): Promise<number> {
    trustSystem()
    const { openStore } = await import('@parsec/blockstore/stores/open')
    const { exportScope } = await import('../../../sequester/export-source.ts')
    const { noMetrics } = await import('@parsec/shared/metrics')
    const { ExportFile, exportPath } = await import('../../../sequester/export-file.ts')
    const { exportRealm } = await import('../../../sequester/export-realm.ts')
    return withDatabase(values, async (database, log) => {
      const organization_id = values.organization!
      const realm_id = values.realm!
      const scope = await exportScope(database, { organization_id, realm_id, service_id: values.service! })
      const pool = { ...postgresPool(values, process.env), maxAttempts: 1, retryPauseSeconds: 0 }
      const store = await openStore({
        config: { store: values.blockstore!, database: pool },
        log,
        metrics: noMetrics,
        network: networkOptions(process.env),
        database,
        register: null,
      })
      try {
        const path = exportPath(values.output!, realm_id)
        const file = ExportFile.create(path, { realm_id, root_verify_key: scope.root_verify_key })
        try {
          const tell = (line: string) => output.out(`${line}\n`)
          const lost = await exportRealm({ database, store, organization_id, scope, file, tell })
          tell(
            lost === 0
              ? `Realm ${realm_id} exported to ${path}`
              : `${lost} block(s) could not be read; run again to retry`,
          )
          return lost === 0 ? EXIT_OK : EXIT_FAILURE
        } finally {
          file.close()
        }
      } finally {
        await store.close()
      }
    })
  }
}
