import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { commandsPage } from './commands-page.ts'

test('docs/commands.md is what `npm run docs` makes', () => {
  assert.equal(readFileSync(new URL('../../../../docs/commands.md', import.meta.url), 'utf8'), commandsPage())
})
