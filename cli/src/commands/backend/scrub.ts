/** `parsec backend scrub`: compares every block with what the nodes of the block store hold, and repairs it. */
import { newScrub } from '@parsec/blockstore/scrub/state'
import { EXIT_FAILURE, type Output } from '../../command-line/output.ts'
import { ParsecCommand } from '../../command-line/parsec-command.ts'
import { type ScrubValues, scrubOptions } from '../../scrub/options.ts'
import { overBlocks } from '../../scrub/over-blocks.ts'
import { ScrubReport } from '../../scrub/report.ts'
import { StateFile, workOf } from '../../scrub/state-file.ts'
import { scrubDatabase, scrubRate } from '../../settings.ts'

export const scrubSpec = {
  path: 'parsec backend scrub',
  options: scrubOptions,
  summary: 'Compare the block store with the database, and repair it.',
  description:
    'Read every block from every node of the block store and compare: what is missing or corrupt, which objects belong to no block. With --repair, rebuild from the redundancy of a RAID1 or RAID5 what can be rebuilt. It may run while the server runs; blocks of the last minute are left for the next time. With --state an interrupted run goes on where it was.\n\nExits with 0 when all is well, 3 when something was wrong and is repaired, 4 when something is wrong still or could not be checked, 1 when the scrub could not be finished.',
  examples: [
    'parsec backend scrub --db-file db --blockstore-file bucket',
    'parsec backend scrub --db-file db --blockstore-file two-buckets --repair --max-rate 20 --state scrub.json',
    'parsec backend scrub --db-file db --blockstore-file bucket --node 1 --repair      # refill the replaced node 1',
    'parsec backend scrub --db-file db --blockstore-file bucket --node 1 --adopt --repair   # another storage takes the place of node 1',
    'parsec backend scrub --db-file db --blockstore-file bucket --delete-orphans --older-than 7d --json',
  ],
} as const

export class Scrub extends ParsecCommand<typeof scrubOptions> {
  static override summary: string = scrubSpec.summary
  protected readonly spec = scrubSpec

  protected override async execute(values: ScrubValues, output: Output): Promise<number> {
    const config = scrubDatabase(values, process.env)
    const maxBytesPerSecond = scrubRate(values)
    const choice = { node: values.node ?? null, isDegraded: values.degraded }
    const stateFile = new StateFile(values.state, workOf(values.blockstore!, values.db!, choice), newScrub)
    const state = await stateFile.read()
    const report = new ScrubReport(output, { json: values.json, terminal: process.stderr.isTTY === true })
    const isDone = await overBlocks(config, values, report, async around => {
      const { scrub } = await import('@parsec/blockstore/scrub/scrub')
      await scrub({
        ...around,
        config: { store: values.blockstore!, database: config },
        repair: values.repair,
        adopt: values.adopt,
        ...choice,
        removeOlderThanMs: values.deleteOrphans ? values.olderThan : null,
        maxBytesPerSecond,
        state,
        onProgress: () => stateFile.write(state),
        report: event => report.event(event),
      })
    })
    if (!isDone) return EXIT_FAILURE
    await stateFile.remove()
    return report.end(state)
  }
}
