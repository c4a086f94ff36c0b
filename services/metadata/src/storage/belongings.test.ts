/** Nothing of an organization may be forgotten when it leaves. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { BELONGINGS, MADE_ANEW } from './belongings.ts'

const NOT_OF_AN_ORGANIZATION = [
  'migration',
  'outbox',
  'outbox_failed',
  'process',
  'deployment',
  'blockstore_node',
  'figures_sample',
]

test('every table of the schema is archived, made anew, or not of an organization', () => {
  const folder = new URL('../../migrations/', import.meta.url)
  const migrations = readdirSync(folder).map(file => readFileSync(new URL(file, folder), 'utf8'))
  const tables = migrations.flatMap(text =>
    [...text.matchAll(/^CREATE (?:UNLOGGED )?TABLE (\w+)/gm)].map(([, name]) => name!),
  )
  assert.ok(tables.length > 20)
  const known = new Set([...BELONGINGS.map(({ table }) => table), ...Object.keys(MADE_ANEW), ...NOT_OF_AN_ORGANIZATION])
  assert.deepEqual(
    tables.filter(table => !known.has(table)),
    [],
  )
})
