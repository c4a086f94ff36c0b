/** `parsec backend blocks copy`: every block into another block store, read back. */
import { newCopy } from '@parsec/blockstore/copy/copy'
import { EXIT_FAILURE, EXIT_OK, type Output } from '../../../command-line/output.ts'
import { ParsecCommand } from '../../../command-line/parsec-command.ts'
import { type CopyValues, copyOptions } from '../../../copy/options.ts'
import { CopyReport } from '../../../copy/report.ts'
import { overBlocks } from '../../../scrub/over-blocks.ts'
import { StateFile, workOf } from '../../../scrub/state-file.ts'
import { scrubDatabase, scrubRate } from '../../../settings.ts'

/** Some blocks could not be copied. */
const EXIT_INCOMPLETE = 4

export const copySpec = {
  path: 'parsec backend blocks copy',
  options: copyOptions,
  summary: 'Copy every block into another block store.',
  description:
    'Read every block of the database from one block store, write it to another, of whatever kind, and read it back. It may run while the server runs, and again after the server has stopped: then it copies what was created meanwhile. Afterwards `parsec backend scrub --adopt` tells the database where its blocks are. With --state an interrupted run goes on where it was, and a finished one copies only what is new.\n\nExits with 0 when every block is copied, 4 when some are not, 1 when the copy could not be finished.',
  examples: [
    'parsec backend blocks copy --db-file db --from POSTGRESQL --to-file bucket --state copy.json',
    'parsec backend blocks copy --db-file db --from-file bucket --to-file two-buckets --max-rate 20',
  ],
} as const

export class CopyBlocks extends ParsecCommand<typeof copyOptions> {
  static override summary: string = copySpec.summary
  protected readonly spec = copySpec

  protected override async execute(values: CopyValues, output: Output): Promise<number> {
    const config = scrubDatabase(values, process.env)
    const maxBytesPerSecond = scrubRate(values)
    const [from, to] = [values.from!, values.to!]
    const stateFile = new StateFile(values.state, workOf(from, values.db!, { copy: to }), newCopy)
    const state = await stateFile.read()
    const report = new CopyReport(output, { json: values.json, terminal: process.stderr.isTTY === true })
    const isDone = await overBlocks(config, values, report, async around => {
      const { copyBlocks } = await import('@parsec/blockstore/copy/copy')
      await copyBlocks({
        ...around,
        from: { store: from, database: config },
        to: { store: to, database: config },
        maxBytesPerSecond,
        state,
        onProgress: () => stateFile.write(state),
        report: event => report.event(event),
      })
    })
    if (!isDone) return EXIT_FAILURE
    report.end(state, state.failed.length === 0 ? NEXT : 'The same command tries them again.')
    return state.failed.length === 0 ? EXIT_OK : EXIT_INCOMPLETE
  }
}

const NEXT =
  'Next: stop the server, copy once more, run `parsec backend scrub --adopt` with the new --blockstore, start the server with it.'
