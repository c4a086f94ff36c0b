/** `parsec backend sequester extract_realm_export`: decrypts an export into files, offline (spec 06 §6.5). */
import type { Values } from '../../../command-line/option.ts'
import { EXIT_FAILURE, EXIT_OK, type Output, plain } from '../../../command-line/output.ts'
import { ParsecCommand } from '../../../command-line/parsec-command.ts'
import { privateKey } from '../../../sequester/service-keys.ts'
import { extractRealmExportOptions } from '../../../tool-options.ts'

export const extractRealmExportSpec = {
  path: 'parsec backend sequester extract_realm_export',
  options: extractRealmExportOptions,
  summary: 'Decrypt an exported realm into files.',
  description:
    'Decrypt the export of a realm with the private key of the service, and write its folders and files. Nothing is contacted: it works on a machine without network. Exits with 1 when something could not be rebuilt, after writing everything else.',
  examples: [
    'parsec backend sequester extract_realm_export --service-decryption-key archive.key \\',
    '    --input parsec-sequester-export-realm-5ab0…c1.sqlite --output files',
  ],
} as const

export class ExtractRealmExport extends ParsecCommand<typeof extractRealmExportOptions> {
  static override summary: string = extractRealmExportSpec.summary
  protected readonly spec = extractRealmExportSpec

  protected override async execute(values: Values<typeof extractRealmExportOptions>, output: Output): Promise<number> {
    const { ExportFile } = await import('../../../sequester/export-file.ts')
    const { extractRealm } = await import('../../../sequester/extract-realm.ts')
    const serviceKey = privateKey('--service-decryption-key', values.serviceDecryptionKey!)
    const file = ExportFile.open(values.input!)
    try {
      const failures = extractRealm({
        file,
        serviceKey,
        output: values.output!,
        until: values.filterDate?.us ?? Number.MAX_SAFE_INTEGER,
        tell: line => output.out(`${plain(line)}\n`),
      })
      if (failures > 0) output.out(`${failures} file(s) or folder(s) could not be rebuilt\n`)
      return failures === 0 ? EXIT_OK : EXIT_FAILURE
    } finally {
      file.close()
    }
  }
}
