import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8')

test('the documentation has one row for each state, in the same order', () => {
  const type = /^type State =\n(.*?)\n\n/ms.exec(read('connection.ts'))![1]!
  const states = [...type.matchAll(/\| '(\w+)'/g)].map(match => match[1])
  const [table] = read('../../../../docs/connection.md').split('| from |')
  assert.deepEqual(
    [...table!.matchAll(/^\| `(\w+)`/gm)].map(match => match[1]),
    states,
  )
})
