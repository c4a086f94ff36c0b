import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { Budget } from '@parsec/shared/budget'
import { GATHER_LATE_MS } from '@parsec/shared/deadlines'
import { Unavailable } from '@parsec/shared/errors'
import { BUSY, type Gathered, Gathering } from './gather.ts'

type Item = string
type Answer = string
type Settle = (answers: readonly (Answer | typeof BUSY | Error)[] | Error) => void

/** A gathering whose batches wait until the test settles them. */
function stage(options: Partial<Gathered<Item, Answer>> = {}) {
  const batches: { items: readonly Item[]; settle: Settle }[] = []
  const arrivals: (() => void)[] = []
  const gathering = new Gathering<Item, Answer>({
    together: items =>
      new Promise((resolve, reject) => {
        batches.push({ items, settle: answers => (answers instanceof Error ? reject(answers) : resolve(answers)) })
        arrivals.shift()?.()
      }),
    maxItems: 3,
    maxBytes: 100,
    lanes: 1,
    ...options,
  })
  const add = (item: Item, { organization = 1, bytes = 1, budget = new Budget(60_000) } = {}) => {
    const answer = gathering.add(item, { organization, bytes, budget })
    answer.catch(() => {})
    return answer
  }
  /** The next batch that starts. */
  const next = async () => {
    if (batches.length === 0) await new Promise<void>(resolve => arrivals.push(resolve))
    return batches.shift()!
  }
  return { add, next, gathering }
}
const turn = () => new Promise<void>(resolve => setImmediate(resolve))
const echo = (items: readonly Item[]) => items.map(item => item.toUpperCase())

test('those of one turn go together, those that come meanwhile go into the next batch', async () => {
  const { add, next } = stage()
  const first = [add('a'), add('b')]
  const one = await next()
  assert.deepEqual(one.items, ['a', 'b'])
  const later = [add('c'), add('d')]
  one.settle(echo(one.items))
  assert.deepEqual(await Promise.all(first), ['A', 'B'])
  const two = await next()
  assert.deepEqual(two.items, ['c', 'd'])
  two.settle(echo(two.items))
  assert.deepEqual(await Promise.all(later), ['C', 'D'])
})

test('where batches have their time, those of several turns go together, and whoever comes after it does not wait', async () => {
  const { add, next } = stage({ everyMs: 300 })
  const answers = [add('a')]
  const one = await next()
  assert.deepEqual(one.items, ['a'])
  one.settle(echo(one.items))
  for (const item of ['b', 'c']) {
    answers.push(add(item))
    await turn()
  }
  const two = await next()
  assert.deepEqual(two.items, ['b', 'c'])
  two.settle(echo(two.items))
  assert.deepEqual(await Promise.all(answers), ['A', 'B', 'C'])
})

test('a batch takes from each organization in turn, from each in order, up to its bounds', async () => {
  const { add, next } = stage()
  for (const item of ['a1', 'a2', 'a3', 'a4']) add(item, { organization: 1 })
  add('b1', { organization: 2 })
  add('c1', { organization: 3, bytes: 99 })
  const seen: (readonly string[])[] = []
  for (let left = 6; left > 0; ) {
    const { items, settle } = await next()
    seen.push(items)
    left -= items.length
    settle(echo(items))
  }
  // c1 leaves room for one byte
  assert.deepEqual(seen, [
    ['a1', 'b1'],
    ['c1', 'a2'],
    ['a3', 'a4'],
  ])
})

test('one that is larger than a batch goes alone', async () => {
  const { add, next } = stage()
  add('large', { bytes: 1000 })
  add('small')
  const { items, settle } = await next()
  assert.deepEqual(items, ['large'])
  settle(['L'])
  assert.deepEqual((await next()).items, ['small'])
})

test('when a batch fails, each is tried alone, and only those fail that fail so', async () => {
  const { add, next } = stage()
  const answers = Promise.allSettled([add('a'), add('b'), add('c')])
  const { settle } = await next()
  settle(new Error('one of them'))
  for (const wanted of ['a', 'b', 'c']) {
    const { items, settle } = await next()
    assert.deepEqual(items, [wanted])
    settle(wanted === 'b' ? new Error('b is bad') : echo(items))
  }
  const [a, b, c] = await answers
  assert.deepEqual(a, { status: 'fulfilled', value: 'A' })
  assert.match(`${(b as PromiseRejectedResult).reason}`, /b is bad/)
  assert.deepEqual(c, { status: 'fulfilled', value: 'C' })
})

test('an outage fails the batch: what was committed is not known, so nothing is tried again', async () => {
  const { add, next } = stage()
  const answers = Promise.allSettled([add('a'), add('b')])
  const { settle } = await next()
  const reason = new Unavailable('database: gone')
  settle(reason)
  await turn()
  add('c')
  assert.deepEqual((await next()).items, ['c'])
  assert.deepEqual(await answers, Array(2).fill({ status: 'rejected', reason }))
})

test('who is cancelled leaves at once, waiting or under way, and the others go on', async () => {
  const { add, next } = stage()
  const [leaver, stayer, late] = [new Budget(60_000), new Budget(60_000), new Budget(60_000)]
  const reason = new Unavailable('nobody waits')
  const underWay = add('a', { budget: leaver })
  const beside = add('b', { budget: stayer })
  const { settle } = await next()
  const waiting = add('c', { budget: late })
  const behind = add('d')
  for (const budget of [leaver, late]) budget.cancel(reason)
  await assert.rejects(underWay, reason)
  await assert.rejects(waiting, reason)
  await assert.rejects(add('e', { budget: leaver }), reason)
  settle(['A', 'B'])
  assert.equal(await beside, 'B')
  const second = await next()
  assert.deepEqual(second.items, ['d'])
  second.settle(['D'])
  assert.equal(await behind, 'D')
})

test('who is overdue leaves; a batch has as long as the one who has most', async () => {
  const budgets: number[] = []
  const { gathering } = stage({
    together: (items, budget) => {
      budgets.push(budget.msLeft)
      return items.includes('short') ? new Promise(() => {}) : Promise.resolve(echo(items))
    },
    lanes: 2,
  })
  // Long enough to be taken on the busiest machine.
  const short = gathering.add('short', { organization: 1, budget: new Budget(500) })
  const long = gathering.add('long', { organization: 1, budget: new Budget(60_000) })
  long.catch(() => {})
  await assert.rejects(short, /not done within 500 ms/)
  assert.ok(budgets[0]! > 50_000)
  assert.equal(await gathering.add('next', { organization: 1, budget: new Budget(60_000) }), 'NEXT')
})

test('who is busy goes to the patient, and keeps nobody waiting', async () => {
  const patient = stage()
  const { add, next } = stage({ patient: patient.gathering })
  const [locked, free] = [add('locked'), add('free')]
  const { settle } = await next()
  settle([BUSY, 'FREE'])
  assert.equal(await free, 'FREE')
  const other = add('other')
  const second = await next()
  second.settle(['OTHER'])
  assert.equal(await other, 'OTHER')
  const waited = await patient.next()
  assert.deepEqual(waited.items, ['locked'])
  waited.settle(['LOCKED'])
  assert.equal(await locked, 'LOCKED')
})

test('a batch that is late keeps nobody else waiting; one more that is, does', async () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    const { add, next } = stage({ spareLanes: 1 })
    const frozen = add('frozen')
    const first = await next()
    const waiting = add('a')
    mock.timers.tick(GATHER_LATE_MS)
    const second = await next()
    assert.deepEqual(second.items, ['a'])
    second.settle(echo(second.items))
    assert.equal(await waiting, 'A')
    add('frozen, too')
    const third = await next()
    assert.deepEqual(third.items, ['frozen, too'])
    const patient = [add('b'), add('c')]
    mock.timers.tick(10 * GATHER_LATE_MS)
    await turn()
    first.settle(echo(first.items))
    assert.equal(await frozen, 'FROZEN')
    await turn()
    // The third may be the late one now.
    mock.timers.tick(GATHER_LATE_MS)
    const fourth = await next()
    assert.deepEqual(fourth.items, ['b', 'c'])
    fourth.settle(echo(fourth.items))
    assert.deepEqual(await Promise.all(patient), ['B', 'C'])
    third.settle(echo(third.items))
    await turn()
    // Both lanes are back: the next ones wait for each other again.
    add('d')
    const fifth = await next()
    add('e')
    let hasBegun = false
    const sixth = next().finally(() => {
      hasBegun = true
    })
    await turn()
    assert.equal(hasBegun, false)
    fifth.settle(echo(fifth.items))
    assert.deepEqual((await sixth).items, ['e'])
  } finally {
    mock.timers.reset()
  }
})

test('who cannot even be asked for fails alone, and the next are served', async () => {
  const alone = (item: Item): Promise<Answer> => {
    if (item === 'x') throw new TypeError('nonsense')
    return Promise.resolve(`${item}!`)
  }
  const { add } = stage({ alone, few: 3 })
  const [bad, good] = [add('x'), add('a')]
  await assert.rejects(bad, /nonsense/)
  assert.equal(await good, 'a!')
  assert.equal(await add('b'), 'b!')
})

test('few are served one by one', async () => {
  const alone: string[] = []
  const { add, next } = stage({
    few: 2,
    alone: item => {
      alone.push(item)
      return Promise.resolve(item)
    },
  })
  assert.equal(await add('a'), 'a')
  assert.deepEqual(alone, ['a'])
  add('b')
  add('c')
  assert.deepEqual((await next()).items, ['b', 'c'])
})
