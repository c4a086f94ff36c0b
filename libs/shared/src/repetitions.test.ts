/** What is told again and again is told once a minute, and nothing of it is uncounted. */
import assert from 'node:assert/strict'
import { afterEach, beforeEach, mock, test } from 'node:test'
import { REPEATED_LINES_MS } from './deadlines.ts'
import { limits } from './limits.ts'
import { Repetitions } from './repetitions.ts'

beforeEach(() => mock.timers.enable({ apis: ['setTimeout'] }))
afterEach(() => mock.timers.reset())

/** Lines that were written: a text, and how many others it says there were. */
type Line = [text: string, others?: number]
function noted() {
  const repetitions = new Repetitions()
  const lines: Line[] = []
  const tell = (kind: string, coarse = 'any', text = kind) =>
    repetitions.tell(kind, coarse, repetition => lines.push(repetition ? [text, repetition.others_since] : [text]))
  return { repetitions, lines, tell }
}

test('the first is told at once, the last of those that follow a minute later with the number of the others', () => {
  const { lines, tell } = noted()
  for (let n = 0; n < 1000; n++) tell('lost', 'any', `lost ${n}`)
  assert.deepEqual(lines, [['lost 0']])
  mock.timers.tick(REPEATED_LINES_MS)
  assert.deepEqual(lines, [['lost 0'], ['lost 999', 998]])
})

test('while it goes on there is one a minute; afterwards none, and the next is told at once', () => {
  const { lines, tell } = noted()
  for (let minute = 0; minute < 3; minute++) {
    for (let n = 0; n < 10; n++) tell('lost')
    mock.timers.tick(REPEATED_LINES_MS)
  }
  assert.deepEqual(lines, [['lost'], ['lost', 8], ['lost', 9], ['lost', 9]])
  mock.timers.tick(REPEATED_LINES_MS)
  tell('lost')
  assert.deepEqual(lines.slice(4), [['lost']])
})

test('kinds do not hide one another', () => {
  const { lines, tell } = noted()
  for (const kind of ['a', 'b', 'a', 'c', 'b']) tell(kind)
  assert.deepEqual(lines, [['a'], ['b'], ['c']])
})

test('what is held back is told at the end', () => {
  const { repetitions, lines, tell } = noted()
  for (const kind of ['a', 'b', 'b', 'b']) tell(kind)
  repetitions.flush()
  mock.timers.tick(REPEATED_LINES_MS)
  assert.deepEqual(lines, [['a'], ['b'], ['b', 1]])
})

test('however many kinds there are, those that are too many are one per event', () => {
  const { lines, tell } = noted()
  const most = limits.log_kinds.value
  for (let n = 0; n < 2 * most; n++) tell(`path ${n}`, 'event')
  tell('new', 'another event')
  assert.equal(lines.length, most + 2)
  mock.timers.tick(REPEATED_LINES_MS)
  assert.deepEqual(lines.slice(most + 2), [[`path ${2 * most - 1}`, most - 2]])
})
