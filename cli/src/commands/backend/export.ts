/** `parsec backend export`: one organization as one file (spec 07). */
import { EXIT_OK, type Output, UsageError } from '../../command-line/output.ts'
import { ParsecCommand } from '../../command-line/parsec-command.ts'
import { type ExportValues, exportOptions } from '../../takeover/options.ts'
import { EXIT_LEFT_OUT } from '../../takeover/report.ts'
import { version } from '../../version.ts'

export const exportSpec = {
  path: 'parsec backend export',
  options: exportOptions,
  summary: 'Write one organization into a file.',
  description:
    'Write all rows of an organization, as they are at one moment, and with --blocks the contents of its blocks, into one file with checksums. It may run while the server runs. `parsec backend import --from FILE` reads it, on this or another server of the same schema level. What users wrote stays encrypted in it; certificates, names and addresses of users are readable.',
  examples: [
    'parsec backend export --db-file db --organization Acme --output acme.parsec',
    'parsec backend export --db-file db --organization Acme --blocks --blockstore-file bucket --output acme.parsec',
  ],
} as const

export class Export extends ParsecCommand<typeof exportOptions> {
  static override summary: string = exportSpec.summary
  protected readonly spec = exportSpec

  protected override async execute(values: ExportValues, output: Output): Promise<number> {
    if (values.blocks && !values.blockstore)
      throw new UsageError("Option '--blocks' needs '--blockstore': where to read them.")
    const { withTool } = await import('../../takeover/tool.ts')
    const { exportOrganization } = await import('../../takeover/archive-export.ts')
    let damaged = 0
    const onDamaged = (block_id: string, cause: string) => {
      damaged++
      output.out(
        values.json
          ? `${JSON.stringify({ kind: 'left_out', block_id, cause })}\n`
          : `block ${block_id} is left out: ${cause}\n`,
      )
    }
    const { rows, blocks } = await withTool(values, async tool =>
      exportOrganization({
        db: tool.target,
        silenceMs: values.maxSilenceSeconds * 1000,
        organization_id: values.organization!,
        path: values.output!,
        store: values.blocks ? await tool.openStore(values.blockstore!) : null,
        onDamaged: values.withoutDamagedBlocks ? onDamaged : null,
        release: version(),
      }),
    )
    const total = Object.values(rows).reduce((sum, n) => sum + n, 0)
    output.out(
      values.json
        ? `${JSON.stringify({ kind: 'end', rows, blocks })}\n`
        : `${values.organization}: ${total} rows and ${blocks} blocks written to ${values.output}\n`,
    )
    return damaged > 0 ? EXIT_LEFT_OUT : EXIT_OK
  }
}
