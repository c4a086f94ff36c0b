/**
 * Expand, then contract: the last release works on the schema of this one, since both run while one replaces the other.
 * `contract/release.json` is what it needs; `npm run contract` renews it when a release is made, never to mend this test.
 */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { createDatabase } from '../harness/backing.ts'
import { migrate } from '../harness/launch.ts'
import { breaches, CONTRACT, type Contract } from './contract/release.ts'

const database = await createDatabase()
const contract: Contract = JSON.parse(await readFile(CONTRACT, 'utf8'))
before(() => migrate(database.url, process.env))
after(() => database.drop())

test('statements and columns of the last release are valid on the schema of this one', async () => {
  assert.ok(contract.statements.length > 150, 'all statements are there')
  assert.deepEqual(await breaches(contract, database), [])
})

test('what would break the last release is noticed', async () => {
  for (const [change, notice] of [
    ['ALTER TABLE realm DROP COLUMN checkpoint', /realm.checkpoint is gone/],
    ['ALTER TABLE realm RENAME TO realms', /table realm is gone/],
    ['ALTER TABLE realm ADD COLUMN colour TEXT NOT NULL', /realm.colour is new and must be given/],
    ['ALTER TABLE organization ALTER COLUMN is_expired TYPE TEXT', /organization.is_expired was boolean, is text/],
    ['ALTER TABLE organization ALTER COLUMN is_expired DROP DEFAULT', /organization.is_expired must now be given/],
  ] as const) {
    const copy = await createDatabase()
    try {
      await migrate(copy.url, process.env)
      await copy.query(change)
      const found = await breaches({ ...contract, statements: [] }, copy)
      assert.ok(
        found.some(line => notice.test(line)),
        `${change}: ${found}`,
      )
    } finally {
      await copy.drop()
    }
  }
  await database.query('CREATE TABLE of_the_next (x INT); ALTER TABLE realm ADD COLUMN of_the_next TEXT')
  assert.deepEqual(await breaches(contract, database), [])
})
