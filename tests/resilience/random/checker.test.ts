/** The checker sees what it is there for: each rule broken once, in a history made by hand. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { violations } from './checker.ts'
import { type Entry, type Final, History, type Listening } from './history.ts'

const write = (start: number, end: number, version: number, outcome = 'ok', more: object = {}) =>
  ({
    kind: 'write',
    user: 'alice',
    realm: 'r',
    vlob: 'v',
    version,
    payload: `p${version}`,
    start,
    end,
    outcome,
    ...more,
  }) as Entry
const read = (start: number, end: number, version: number, more: object = {}) =>
  ({
    kind: 'read',
    user: 'bob',
    realm: 'r',
    vlob: 'v',
    version,
    payload: `p${version}`,
    start,
    end,
    outcome: 'ok',
    ...more,
  }) as Entry
const role = (start: number, end: number, to: string | null, outcome = 'ok') =>
  ({ kind: 'role', realm: 'r', user: 'bob', role: to, message: `m${start}`, start, end, outcome }) as Entry
const session = (more: Partial<Listening>): Listening => ({
  user: 'carol',
  start: 0,
  end: undefined,
  caughtUp: new Map([['r', 0]]),
  changes: [
    ['r', 1],
    ['r', 2],
  ],
  roles: [],
  ...more,
})

const GOOD: Final = {
  versions: new Map([['v', ['p1', 'p2']]]),
  realms: new Map([['r', { checkpoint: 2, changes: 2, first: 1, last: 2 }]]),
  blocks: new Map(),
  inboxes: new Map(),
}
const judge = (entries: Entry[], final: Partial<Final> = {}, listening: Listening[] = [], overdue: string[] = []) => {
  const history = new History()
  history.entries.push(...entries)
  history.listening.push(...listening)
  history.overdue.push(...overdue)
  return violations(history, { ...GOOD, ...final })
}
const CHAIN = [write(0, 1, 1), write(2, 3, 2)]

test('a good history has no violation', () => {
  assert.deepEqual(judge([...CHAIN, read(4, 5, 2)], {}, [session({})]), [])
})
test('a lost answer leaves both open: that it happened and that it did not', () => {
  const lost = write(2, Number.POSITIVE_INFINITY, 2, 'lost')
  assert.deepEqual(judge([write(0, 1, 1), lost]), [])
  const undone = {
    versions: new Map([['v', ['p1']]]),
    realms: new Map([['r', { checkpoint: 1, changes: 1, first: 1, last: 1 }]]),
  }
  assert.deepEqual(judge([write(0, 1, 1), lost], undone), [])
})

const BROKEN: [title: string, found: RegExp, run: () => string[]][] = [
  ['an acknowledged version is gone', /lost: v 2/, () => judge(CHAIN, { versions: new Map([['v', ['p1']]]) })],
  ['a version is acknowledged twice', /twice: v 2/, () => judge([...CHAIN, write(4, 5, 2)])],
  ['a refused version is there', /told bad_version/, () => judge([write(0, 1, 1), write(2, 3, 2, 'bad_version')])],
  ['a version that nobody wrote', /nobody wrote: v 2/, () => judge([write(0, 1, 1)])],
  ['a stale read', /stale read/, () => judge([...CHAIN, read(4, 5, 1)])],
  [
    'two readers see time go back',
    /went back/,
    () => judge([write(0, 1, 1), write(2, 9, 2), read(3, 4, 2), read(5, 6, 1)]),
  ],
  [
    'a gap in the change log',
    /not 1…2/,
    () => judge(CHAIN, { realms: new Map([['r', { checkpoint: 2, changes: 1, first: 2, last: 2 }]]) }),
  ],
  [
    'a write after a removal',
    /after the role null/,
    () => judge([write(0, 1, 1), role(2, 3, null), write(4, 5, 2, 'ok', { user: 'bob' })]),
  ],
  ['a read after a removal', /read by bob/, () => judge([...CHAIN, role(4, 5, null), read(6, 7, 2)])],
  [
    'a missing message',
    /message is missing/,
    () => judge([...CHAIN, role(4, 5, 'READER')], { inboxes: new Map([['bob', []]]) }),
  ],
  [
    'a lost block',
    /block lost/,
    () =>
      judge([
        ...CHAIN,
        { kind: 'block', realm: 'r', block: 'b', bytes: Buffer.from('x'), start: 0, end: 1, outcome: 'ok' },
      ]),
  ],
  ['an untold change', /never told 2…2/, () => judge(CHAIN, {}, [session({ changes: [['r', 1]] })])],
  [
    'a change told twice',
    /told 1 of r instead of 2/,
    () =>
      judge(CHAIN, {}, [
        session({
          changes: [
            ['r', 1],
            ['r', 1],
            ['r', 2],
          ],
        }),
      ]),
  ],
  [
    'an untold role',
    /0 of 1 role changes/,
    () => judge([...CHAIN, role(4, 5, 'READER')], {}, [session({ user: 'bob' })]),
  ],
  ['a command without end', /neither answered/, () => judge(CHAIN, {}, [], ['vlob_read'])],
  [
    'bad_version for the next version',
    /bad_version for the next/,
    () => judge([write(0, 1, 1), write(2, 3, 2, 'bad_version'), write(4, 5, 2)]),
  ],
]
for (const [title, found, run] of BROKEN)
  test(`found: ${title}`, () => {
    const lines = run()
    assert.ok(
      lines.some(line => found.test(line)),
      lines.join('\n') || 'no violation',
    )
  })
