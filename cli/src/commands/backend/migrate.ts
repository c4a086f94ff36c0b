/** `parsec backend migrate`: brings the database to this release's schema (spec 06 §6.2). */
import { createLog } from '@parsec/shared/log'
import { EXIT_FAILURE, EXIT_OK, type Output } from '../../command-line/output.ts'
import { ParsecCommand } from '../../command-line/parsec-command.ts'
import { type MigrateValues, migrateOptions } from '../../options.ts'
import { logOptions, migrateDatabase } from '../../settings.ts'

export const migrateSpec = {
  path: 'parsec backend migrate',
  options: migrateOptions,
  summary: 'Create or update the tables of the database.',
  description:
    'Create the tables that the server needs, or update those of an older release. Run it before the first start and before each start of a newer release; it applies only what is missing, each step in a transaction of its own, and several runs at once take turns. Exits with 1 when a step fails; the steps before it stay applied.',
  examples: [
    'parsec backend migrate --db-file /run/secrets/db',
    'parsec backend migrate --db postgresql://parsec@db.example.com/parsec --dry-run    # the password is in ~/.pgpass',
    'PARSEC_DB=postgresql:///parsec parsec backend migrate',
  ],
} as const

export class Migrate extends ParsecCommand<typeof migrateOptions> {
  static override summary: string = migrateSpec.summary
  protected readonly spec: Omit<typeof migrateSpec, 'path'> & { path: string } = migrateSpec

  protected override async execute(values: MigrateValues, output: Output): Promise<number> {
    const log = createLog(logOptions(values))
    try {
      const { migrate } = await import('@parsec/metadata/storage/migrations')
      const { entries } = await migrate(migrateDatabase(values, process.env), { dryRun: values.dryRun, log })
      const failed = entries.some(entry => entry.state === 'failed')
      output.out(`Migrate ${failed ? '✘' : '✔'}\n`)
      for (const { file, state, message } of entries)
        output.out(
          `${file} ${state === 'already' ? '(already applied)' : state === 'applied' ? '✔' : `✘: ${message}`}\n`,
        )
      return failed ? EXIT_FAILURE : EXIT_OK
    } finally {
      await log.close()
    }
  }
}
