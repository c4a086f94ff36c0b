import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FAN_OUT_TURN_MS } from '@parsec/shared/deadlines'
import { limits } from '@parsec/shared/limits'
import { DELIVERIES_PER_TURN, FanOut, LOOK_EVERY } from './fan-out.ts'

const nextTurn = () => new Promise<void>(resolve => setImmediate(resolve))
const noTimePasses = () => 0
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)

test('few are told at once, many in slices of one turn of the event loop', async () => {
  const told: number[] = []
  const out = new FanOut<string, number, string>(
    n => told.push(n),
    () => {},
    noTimePasses,
  )
  out.tell('a', [], 'nobody')
  out.tell('a', [1, 2], 'event')
  assert.deepEqual(told, [1, 2])
  out.tell('a', numbers(1000), 'event')
  assert.equal(told.length, DELIVERIES_PER_TURN)
  for (let turns = 1; told.length < 1002; turns++) {
    await nextTurn()
    assert.ok(told.length <= DELIVERIES_PER_TURN * (turns + 1))
  }
  assert.deepEqual(told.slice(2), numbers(1000))
  await nextTurn()
  out.tell('a', numbers(DELIVERIES_PER_TURN), 'event')
  assert.equal(told.length, 1002 + DELIVERIES_PER_TURN)
})

test('deliveries that take long are told in shorter slices', async () => {
  const told: number[] = []
  const out = new FanOut<string, number, string>(
    n => told.push(n),
    () => {},
    () => told.length * FAN_OUT_TURN_MS,
  )
  const turns: number[] = []
  out.tell('a', numbers(100), 'event')
  for (turns.push(told.length); told.length < 100; turns.push(told.length)) await nextTurn()
  assert.deepEqual(turns.slice(0, 3), [LOOK_EVERY, 2 * LOOK_EVERY, 3 * LOOK_EVERY])
  assert.deepEqual(told, numbers(100))
})

test('each recipient hears events in their order, and a small group does not wait for a large one', async () => {
  const told: string[] = []
  const out = new FanOut<string, string, number>(
    (who, event) => told.push(`${who}${event}`),
    () => {},
    noTimePasses,
  )
  const large = numbers(5000).map(() => 'L')
  for (const event of [1, 2]) out.tell('large', large, event)
  out.tell('large', ['L'], 3)
  for (const event of [1, 2]) out.tell('small', ['s'], event)
  while (!told.includes('s2')) await nextTurn()
  assert.ok(told.indexOf('s1') < told.indexOf('s2'))
  assert.ok(told.length <= DELIVERIES_PER_TURN * 3)
  while (told.length < 10_003) await nextTurn()
  assert.equal(told.at(-1), 'L3')
  assert.ok(told.lastIndexOf('L1') < told.indexOf('L2'))
})

test('a group whose events come faster than they can be told is given up, and no other', async () => {
  const [told, lost] = [[] as string[], [] as string[]]
  const out = new FanOut<string, string, number>(
    who => told.push(who),
    group => lost.push(group),
  )
  const many = Array<string>(100_000).fill('m')
  out.tell('patient', Array<string>(500).fill('p'), 0)
  for (let sent = 0; sent <= limits.event_deliveries.value && lost.length === 0; sent += many.length)
    out.tell('flood', many, 0)
  assert.deepEqual(lost, ['flood'])
  while (told.filter(who => who === 'p').length < 500) await nextTurn()
  assert.ok(!told.includes('m'))
  out.tell('flood', ['m'], 1)
  await nextTurn()
  assert.ok(told.includes('m'))
})
