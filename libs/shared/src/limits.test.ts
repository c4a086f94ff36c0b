/** The table of limits: its page is current, and each row has the test that goes beyond it. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { type Limit, limits } from './limits.ts'
import { limitsPage } from './limits-page.ts'

const ROOT = new URL('../../../', import.meta.url)
const read = (file: string): string => readFileSync(new URL(file, ROOT), 'utf8')

test('docs/limits.md is what the table says (npm run docs)', () => {
  assert.equal(read('docs/limits.md'), limitsPage())
})

for (const [name, limit] of Object.entries<Limit>(limits))
  test(`${name} has a positive value and a test that exists`, () => {
    assert.ok(limit.value > 0 && Number.isFinite(limit.value))
    const [file, title] = limit.test
    const source = read(file)
    const declared = [`test('${title}`, `test("${title}`, `test(\`${title}`]
    assert.ok(
      declared.some(opening => source.includes(opening)),
      `no test of ${file} is called "${title}…"`,
    )
  })
