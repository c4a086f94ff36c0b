/** Subjects: one token per id whatever the id holds, and patterns as NATS reads them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  clientEvents,
  command,
  controlEvents,
  everyCommandOf,
  everyInternalOf,
  internal,
  matches,
  nameOf,
  token,
} from './subjects.ts'

test('commands and internal requests fall under the pattern of their service only', () => {
  assert.equal(command('metadata', 'vlob_read'), 'cmd.metadata.vlob_read')
  assert.ok(matches(everyCommandOf('metadata'), command('metadata', 'vlob_read')))
  assert.ok(!matches(everyCommandOf('blockstore'), command('metadata', 'vlob_read')))
  assert.ok(!matches(everyCommandOf('metadata'), internal('metadata', 'open_session')))
  assert.ok(matches(everyInternalOf('metadata'), internal('metadata', 'open_session')))
  assert.equal(nameOf(command('metadata', 'vlob_read')), 'vlob_read')
})

test('an organization id is one token, and no two ids share it', () => {
  assert.equal(clientEvents('Org-1_x'), 'event.Org-1_x.client')
  assert.equal(controlEvents('é'), 'event.=c3=a9.control')
  const ids = fc.string({ unit: 'grapheme', minLength: 1 })
  fc.assert(
    fc.property(ids, ids, (a, b) => {
      assert.match(token(a), /^[A-Za-z0-9_=-]+$/)
      assert.equal(token(a) === token(b), a === b)
    }),
  )
  const awkward = ['a.b', 'a b', '*', '>', 'a=2eb', '=', 'é', 'e\u0301', 'A', 'a']
  assert.equal(new Set(awkward.map(token)).size, awkward.length)
})

test('* stands for one token, a final > for one or more', () => {
  for (const [pattern, subject] of [
    ['a.b', 'a.b'],
    ['a.*', 'a.b'],
    ['*.b', 'a.b'],
    ['a.*.c', 'a.b.c'],
    ['a.>', 'a.b'],
    ['a.>', 'a.b.c.d'],
    ['>', 'a'],
    ['*.>', 'a.b'],
  ] as const) {
    assert.ok(matches(pattern, subject), `${pattern} ${subject}`)
  }
  for (const [pattern, subject] of [
    ['a.b', 'a.c'],
    ['a.*', 'a'],
    ['a.*', 'a.b.c'],
    ['a.>', 'a'],
    ['a.b', 'a.b.c'],
    ['a.b.c', 'a.b'],
    ['A.b', 'a.b'],
  ] as const) {
    assert.ok(!matches(pattern, subject), `${pattern} ${subject}`)
  }
})
