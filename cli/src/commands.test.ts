import assert from 'node:assert/strict'
import { test } from 'node:test'
import { adminCommands } from './admin/commands.ts'
import { TREE } from './commands.ts'

test('each administration command is found by its words', () => {
  const found = [...TREE.commands.keys()].filter(words => words.startsWith('admin '))
  assert.deepEqual(found.toSorted(), adminCommands.map(({ path }) => path.replace('parsec ', '')).toSorted())
})
