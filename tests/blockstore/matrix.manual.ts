/**
 * RAIDs of every level and kind of node with a node away, for as long as it takes. Run by hand:
 * `node --conditions=development --test tests/blockstore/matrix.manual.ts`.
 */
import { after, test } from 'node:test'
import { Matrix, titleOf, VARIANTS } from './raid-matrix.ts'
import { KINDS } from './raid-nodes.ts'

const OPERATIONS = 1_000

const matrix = await Matrix.open()
after(() => matrix.close())

for (const kind of KINDS)
  for (const [level, degradedWrites] of VARIANTS)
    test(`${level} of ${kind}, ${titleOf(degradedWrites)}: ${OPERATIONS} commands with a node away`, async context => {
      const tally = await matrix.run(level, kind, degradedWrites, OPERATIONS)
      context.diagnostic(JSON.stringify(tally))
    })
