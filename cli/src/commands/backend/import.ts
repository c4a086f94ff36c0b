/** `parsec backend import`: takes over organizations of an original server, or one from an archive (spec 07). */
import { keySpacesOf } from '@parsec/blockstore/stores/registry'
import { readDatabaseUrl } from '@parsec/shared/postgres/url'
import { EXIT_FAILURE, EXIT_OK, type Output, UsageError } from '../../command-line/output.ts'
import { ParsecCommand } from '../../command-line/parsec-command.ts'
import type { ImportOptions } from '../../takeover/import.ts'
import { type ImportValues, importOptions } from '../../takeover/options.ts'
import { EXIT_LEFT_OUT, ImportReport } from '../../takeover/report.ts'
import type { Tool } from '../../takeover/tool.ts'

export const importSpec = {
  path: 'parsec backend import',
  options: importOptions,
  summary: 'Take over the organizations of another Parsec server.',
  description:
    "Copy organizations from the database of an original Parsec server (v1.14 to v2.17) into that of this one. The source is read as it is at one moment and never written. Each organization comes whole or not at all; an interrupted import goes on when it is run again. Everything is checked before: certificates up to the root key, change logs, versions, sizes.\n\nObjects on S3 and Swift stay where they are: give this server the same --blockstore. Blocks in the source's database are copied into this one, or with --copy-blocks into --blockstore.\n\nWith a file instead of a database, take the organization that `parsec backend export` wrote into it.\n\nExits with 0 when all is done, 3 when it is but some rows were left out, 1 when something was refused or failed.",
  examples: [
    'parsec backend import --from postgresql://old-db/parsec --db postgresql://new-db/parsec --dry-run',
    'parsec backend import --from postgresql://old-db/parsec --db postgresql://new-db/parsec',
    'parsec backend import --from-file old-db --db-file db --blockstore-file bucket --copy-blocks',
    'parsec backend import --from-file old-db --db-file db --verify',
    'parsec backend import --from acme.parsec --db-file db --blockstore-file bucket',
  ],
} as const

export class Import extends ParsecCommand<typeof importOptions> {
  static override summary: string = importSpec.summary
  protected readonly spec = importSpec

  protected override async execute(values: ImportValues, output: Output): Promise<number> {
    if (values.copyBlocks && !values.blockstore)
      throw new UsageError("Option '--copy-blocks' needs '--blockstore': where to write them.")
    const { withTool } = await import('../../takeover/tool.ts')
    const isDatabase = /^postgres(ql)?:\/\//.test(values.from!)
    return withTool(values, tool =>
      isDatabase ? this.#fromDatabase(tool, values, output) : this.#fromFile(tool, values, output),
    )
  }

  async #fromDatabase(tool: Tool, values: ImportValues, output: Output): Promise<number> {
    const terminal = process.stderr.isTTY === true
    const report = new ImportReport(output, { json: values.json, terminal, file: values.report })
    const common = {
      from: readDatabaseUrl(values.from!, process.env),
      db: tool.target,
      silenceMs: values.maxSilenceSeconds * 1000,
      organizations: values.organization,
      report,
    }
    try {
      if (values.verify) {
        const { verifyOrganizations } = await import('../../takeover/verify.ts')
        const store = values.blockstore ? await tool.openStore(values.blockstore, 'known') : null
        await verifyOrganizations({ ...common, store })
      } else {
        const { importOrganizations } = await import('../../takeover/import.ts')
        await importOrganizations({
          ...common,
          dryRun: values.dryRun,
          skipVerification: values.skipVerification,
          defaults: { isOutsiderAllowed: values.organizationInitialUserProfileOutsiderAllowed },
          blockData: await blockDataOf(values, tool),
        })
      }
      report.end()
      if (report.refused > 0) return EXIT_FAILURE
      return report.leftOut > 0 ? EXIT_LEFT_OUT : EXIT_OK
    } finally {
      report.clear()
    }
  }

  async #fromFile(tool: Tool, values: ImportValues, output: Output): Promise<number> {
    const wrong = (['verify', 'skipVerification', 'copyBlocks'] as const).find(name => values[name])
    if (wrong)
      throw new UsageError(`Option '--${importOptions[wrong].name}' is for the database of an original server.`)
    if (values.organization.length > 0)
      throw new UsageError("Option '--organization': an archive has one, which is taken.")
    const { importArchive } = await import('../../takeover/archive-import.ts')
    const { organization_id, rows, blocks } = await importArchive({
      path: values.from!,
      db: tool.target,
      silenceMs: values.maxSilenceSeconds * 1000,
      store: values.blockstore ? await tool.openStore(values.blockstore, 'known') : null,
      dryRun: values.dryRun,
    })
    const total = Object.values(rows).reduce((sum, n) => sum + n, 0)
    output.out(
      values.json
        ? `${JSON.stringify({ kind: 'end', organization_id, rows, blocks })}\n`
        : `${organization_id}: ${total} rows and ${blocks} blocks ${values.dryRun ? 'are whole, nothing was written' : 'taken'}\n`,
    )
    return EXIT_OK
  }
}

async function blockDataOf(
  { blockstore, copyBlocks, dryRun }: ImportValues,
  tool: Tool,
): Promise<ImportOptions['blockData']> {
  if (!blockstore || (!copyBlocks && blockstore.type === 'POSTGRESQL')) return { kind: 'copy' }
  if (!copyBlocks) return { kind: 'leave' }
  if (dryRun) return { kind: 'copy' }
  return { kind: 'store', store: await tool.openStore(blockstore, 'known'), name: keySpacesOf(blockstore) }
}
