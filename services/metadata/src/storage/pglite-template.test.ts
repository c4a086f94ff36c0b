/** A trial starts from a copy of a prepared folder, or without one when that cannot be read or is of another schema. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { schemaDigest } from './migrations.ts'
import { copyTemplate, DIGEST_FILE } from './pglite-template.ts'

const folder = mkdtempSync(join(tmpdir(), 'parsec-template-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const template = (name: string, digest = schemaDigest()): string => {
  mkdirSync(join(folder, name))
  writeFileSync(join(folder, name, 'PG_VERSION'), '17')
  writeFileSync(join(folder, name, DIGEST_FILE), digest)
  return join(folder, name)
}

test('a template is copied, with the folders that a package cannot hold', () => {
  assert.equal(copyTemplate(join(folder, 'copy'), template('good')), true)
  assert.ok(existsSync(join(folder, 'copy', 'PG_VERSION')))
  assert.ok(existsSync(join(folder, 'copy', 'pg_wal', 'archive_status')))
})

test('without a template nothing is there', () => {
  assert.equal(copyTemplate(join(folder, 'nothing'), join(folder, 'none')), false)
})

test('a template of another schema is left alone', () => {
  assert.equal(copyTemplate(join(folder, 'other'), template('another', 'b0b0')), false)
  assert.ok(!existsSync(join(folder, 'other')))
})

test('what cannot be copied whole leaves nothing behind', () => {
  const bad = template('bad')
  // root may read everything: it is stopped by a place that cannot be written instead.
  mkdirSync(join(folder, 'target', 'PG_VERSION'), { recursive: true })
  assert.equal(copyTemplate(join(folder, 'target'), bad), false)
  assert.ok(!existsSync(join(folder, 'target')))
})
