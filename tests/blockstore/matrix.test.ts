/** RAIDs with a node away: few commands, and the kinds of nodes that answer fast. `matrix.manual.ts` has all of both. */
import { after, test } from 'node:test'
import { Matrix, titleOf, VARIANTS } from './raid-matrix.ts'

const OPERATIONS = 20

const matrix = await Matrix.open()
after(() => matrix.close())

for (const kind of ['FILE', 'POSTGRESQL'] as const)
  for (const [level, degradedWrites] of VARIANTS)
    test(`${level} of ${kind}, ${titleOf(degradedWrites)}: a node away (06-server §7.10)`, async () => {
      await matrix.run(level, kind, degradedWrites, OPERATIONS)
    })
