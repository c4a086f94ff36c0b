/** The end of a scrub says what was not looked at, so that nobody takes silence for health. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newScrub } from '@parsec/blockstore/scrub/state'
import { ScrubReport } from './report.ts'

function endOf(state: object, json = false): string {
  const printed: string[] = []
  const print = (text: string) => void printed.push(text)
  const output = { out: print, data: print, err: () => {}, progress: () => {}, colours: false }
  new ScrubReport(output, { json, terminal: false }).end({ ...newScrub(), ...state })
  return printed.join('')
}

test('a scrub that found only young blocks says that it left them alone', () => {
  assert.match(endOf({ young: 3 }), /^3 blocks are not a minute old and were left alone: scrub again/m)
  assert.equal(JSON.parse(endOf({ young: 3 }, true)).young, 3)
})

test('a scrub of nothing says so', () => {
  assert.match(endOf({}), /^There was no block to compare$/m)
})

test('a scrub that compared all has nothing to add', () => {
  assert.doesNotMatch(endOf({ blocks: 5 }), /blocks are not|no block/)
})
