import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fragment, sql } from './sql.ts'

const COLUMNS = fragment`realm.role, realm.${fragment`archiving`}`

test('values become parameters, fragments become text', () => {
  const statement = sql`SELECT ${COLUMNS} FROM realm WHERE a = ${1} AND b = ${'x'}`
  assert.equal(statement.text, 'SELECT realm.role, realm.archiving FROM realm WHERE a = $1 AND b = $2')
  assert.deepEqual(statement.values, [1, 'x'])
})

test('a call site has one name, whatever its values', () => {
  const make = (value: number) => sql`SELECT ${value}, ${COLUMNS}`
  assert.equal(make(1).name, make(2).name)
  assert.deepEqual(make(2).values, [2])
})
