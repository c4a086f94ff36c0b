/** `parsec backend delete_organization`: an organization goes for good, in two steps. */
import { EXIT_OK, type Output } from '../../command-line/output.ts'
import { ParsecCommand } from '../../command-line/parsec-command.ts'
import { type DeleteOrganizationValues, deleteOrganizationOptions } from '../../takeover/options.ts'

export const deleteOrganizationSpec = {
  path: 'parsec backend delete_organization',
  options: deleteOrganizationOptions,
  summary: 'Delete an organization with everything that it has.',
  description:
    'Without --confirm, show what would go and a code. With that code, close the organization and its connections, remove its blocks from the block store, then its rows, in batches. There is no way back but an archive that `parsec backend export --blocks` made before. When it is interrupted, the same command goes on.',
  examples: [
    "parsec backend delete_organization --db postgresql://… --blockstore 's3:…' --organization Acme",
    "parsec backend delete_organization --db postgresql://… --blockstore 's3:…' --organization Acme --confirm 1c2d3e4f",
  ],
} as const

export class DeleteOrganization extends ParsecCommand<typeof deleteOrganizationOptions> {
  static override summary: string = deleteOrganizationSpec.summary
  protected readonly spec = deleteOrganizationSpec

  protected override async execute(values: DeleteOrganizationValues, output: Output): Promise<number> {
    const organization_id = values.organization!
    const { withTool } = await import('../../takeover/tool.ts')
    const { deleteOrganization, lookAt } = await import('../../takeover/delete.ts')
    const { BulkSession } = await import('@parsec/shared/postgres/bulk')
    return withTool(values, async tool => {
      if (values.confirm === undefined) {
        const session = await BulkSession.open(tool.target, '--db')
        try {
          const { key: _, ...doomed } = await lookAt(session, organization_id)
          const { users, realms, blocks, bytes, code } = doomed
          output.out(
            values.json
              ? `${JSON.stringify({ kind: 'found', organization_id, ...doomed })}\n`
              : `${organization_id}: ${users} users, ${realms} realms, ${blocks} blocks (${bytes} bytes) would be deleted for good. If that is meant: --confirm ${code}\n`,
          )
          return EXIT_OK
        } finally {
          await session.close()
        }
      }
      const stores = await tool.openNodes(values.blockstore!)
      const { users, realms, blocks } = await deleteOrganization(
        { db: tool.target, stores },
        organization_id,
        values.confirm,
      )
      output.out(
        values.json
          ? `${JSON.stringify({ kind: 'deleted', organization_id, users, realms, blocks })}\n`
          : `${organization_id} is deleted: ${users} users, ${realms} realms, ${blocks} blocks\n`,
      )
      return EXIT_OK
    })
  }
}
