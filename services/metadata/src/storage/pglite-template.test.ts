/** A trial starts from a copy of a prepared folder, or without one when that cannot be read. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { copyTemplate } from './pglite-template.ts'

const folder = mkdtempSync(join(tmpdir(), 'parsec-template-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const template = (name: string): string => {
  mkdirSync(join(folder, name))
  writeFileSync(join(folder, name, 'PG_VERSION'), '17')
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

test('what cannot be copied whole leaves nothing behind', () => {
  const bad = template('bad')
  // root may read everything: it is stopped by a place that cannot be written instead.
  mkdirSync(join(folder, 'target', 'PG_VERSION'), { recursive: true })
  assert.equal(copyTemplate(join(folder, 'target'), bad), false)
  assert.ok(!existsSync(join(folder, 'target')))
})
