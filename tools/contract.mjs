/**
 * `npm run contract`: writes down what this release needs of the schema, for the check of the next ones' migrations, from
 * the statements that a server prepares while the conformance suite runs (five minutes). Run it when a release is made.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDatabase } from '../tests/harness/backing.ts'
import { migrate } from '../tests/harness/launch.ts'
import { CONTRACT, columnsOf } from '../tests/postgres/contract/release.ts'

const RUNS = ['tests/conformance-a.test.ts', 'tests/resilience/random.test.ts', 'tests/story/sequester.test.ts']
const folder = mkdtempSync(join(tmpdir(), 'parsec-contract-'))
const PARSEC_TEST_STATEMENTS = join(folder, 'statements')
for (const file of RUNS) {
  const argv = ['--conditions=development', '--test', file]
  const env = { ...process.env, PARSEC_TEST_STATEMENTS }
  const { status } = spawnSync(process.execPath, argv, { stdio: 'inherit', env })
  if (status !== 0) process.exit(1)
}
const lines = readFileSync(PARSEC_TEST_STATEMENTS, 'utf8').trimEnd().split('\n')
const statements = [...new Set(lines)]
  .map(line => JSON.parse(line))
  .filter(text => !/^(BEGIN|COMMIT|ROLLBACK)$/.test(text))
const database = await createDatabase()
await migrate(database.url, process.env)
const [{ level }] = await database.query('SELECT max(_id)::int AS level FROM migration')
const contract = { level, columns: await columnsOf(database), statements: statements.sort() }
writeFileSync(CONTRACT, `${JSON.stringify(contract, null, 1)}\n`)
await database.drop()
rmSync(folder, { recursive: true })
