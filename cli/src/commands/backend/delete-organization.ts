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
    'parsec backend delete_organization --db-file db --blockstore-file bucket --organization Acme',
    'parsec backend delete_organization --db-file db --blockstore-file bucket --organization Acme --confirm 1c2d3e4f',
  ],
} as const

export class DeleteOrganization extends ParsecCommand<typeof deleteOrganizationOptions> {
  static override summary: string = deleteOrganizationSpec.summary
  protected readonly spec = deleteOrganizationSpec

  protected override async execute(values: DeleteOrganizationValues, output: Output): Promise<number> {
    const organization_id = values.organization!
    const { withTool } = await import('../../takeover/tool.ts')
    const { deleteWhole, requireDoomed } = await import('../../takeover/delete.ts')
    return withTool(values, async tool => {
      if (values.confirm === undefined) {
        const doomed = await requireDoomed(tool.database, organization_id)
        const { users, realms, data_size, code, is_begun } = doomed
        const state = is_begun ? 'its deletion was interrupted' : 'would be deleted for good'
        output.out(
          values.json
            ? `${JSON.stringify({ kind: 'found', organization_id, ...doomed })}\n`
            : `${organization_id}: ${users} users, ${realms} realms, ${data_size} bytes in blocks: ${state}. If that is meant: --confirm ${code}\n`,
        )
        return EXIT_OK
      }
      const store = await tool.openStore(values.blockstore!, 'ours')
      await deleteWhole(tool.database, store, { organization_id, code: values.confirm })
      output.out(
        values.json ? `${JSON.stringify({ kind: 'deleted', organization_id })}\n` : `${organization_id} is deleted\n`,
      )
      return EXIT_OK
    })
  }
}
