import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { type Bounds, type Hold, InFlight } from './in-flight.ts'

const BOUNDS: Bounds = {
  total: 1000,
  most: 2000,
  small: 100,
  rate: 10,
  patienceMs: 30_000,
  silenceMs: 20_000,
  crowdedMs: 5_000,
  sweepMs: 1_000,
}
/** A world of its own, with a clock of its own. */
function open(t: { after(done: () => void): void }) {
  const clock = { now: 0 }
  mock.timers.enable({ apis: ['setInterval'] })
  const performanceNow = mock.method(performance, 'now', () => clock.now)
  t.after(() => {
    mock.timers.reset()
    performanceNow.mock.restore()
  })
  const inFlight = new InFlight(BOUNDS)
  const cuts: string[] = []
  return {
    inFlight,
    cuts,
    client(name: string): Hold {
      const hold = inFlight.hold(why => {
        cuts.push(`${name}: ${why}`)
        hold.end()
      })
      return hold
    },
    pass(ms: number) {
      for (let left = ms; left > 0; left -= 1000) {
        clock.now += 1000
        mock.timers.tick(1000)
      }
    },
  }
}

test('beyond the total nothing large is read on, until there is room', t => {
  const { inFlight, client } = open(t)
  const big = client('big')
  big.keep(999)
  assert.ok(!inFlight.isTooMuch(999))
  big.keep(1000)
  assert.ok(inFlight.isTooMuch(101))
  assert.ok(!inFlight.isTooMuch(100), 'small messages are always read')
  const order: string[] = []
  for (const name of ['first', 'second']) inFlight.whenRoom(() => order.push(name))
  const third = () => order.push('third')
  inFlight.whenRoom(third)
  inFlight.forget(third)
  big.keep(1500)
  assert.deepEqual(order, [])
  big.end()
  assert.deepEqual(order, ['first', 'second'])
  assert.equal(inFlight.total, 0)
})

test('whoever goes on takes the room from the next', t => {
  const { inFlight, client } = open(t)
  const [big, next] = [client('big'), client('next')]
  big.keep(1000)
  const order: string[] = []
  inFlight.whenRoom(() => {
    order.push('first')
    next.receive(1000)
  })
  inFlight.whenRoom(() => order.push('second'))
  big.end()
  assert.deepEqual(order, ['first'])
  next.end()
  assert.deepEqual(order, ['first', 'second'])
})

test('while the total is reached, who was waited for longest goes after a short time, and no more than needed', t => {
  const { client, cuts, pass } = open(t)
  client('old').receive(400)
  pass(2_000)
  client('young').receive(400)
  client('works').keep(250)
  pass(2_000)
  assert.deepEqual(cuts, [])
  pass(1_000)
  assert.deepEqual(cuts, ['old: too many bytes in flight'])
  pass(10_000)
  assert.equal(cuts.length, 1)
})

test('far beyond the total, who was waited for longest is cut at once', t => {
  const { inFlight, client, cuts } = open(t)
  client('old').send(900)
  client('young').send(900)
  client('works').keep(300)
  assert.deepEqual(cuts, ['old: too many bytes in flight'])
  assert.equal(inFlight.total, 1200)
})

test('a client that is silent, or slower than the slowest rate, is cut; what we work on is not', t => {
  const { client, cuts, pass } = open(t)
  client('silent').receive(10)
  client('works').keep(10)
  const [drips, paused] = [client('drips'), client('paused')]
  drips.receive(1)
  paused.receive(10)
  paused.pause()
  client('does not read').send(200)
  for (let i = 0; i < 20; i++) {
    pass(1_000)
    drips.receive(2 + i)
  }
  pass(1_000)
  assert.deepEqual(cuts, ['silent: too slow'])
  for (let i = 0; i < 15; i++) {
    pass(1_000)
    if (cuts.length === 1) drips.receive(30 + i)
  }
  // 30 s, and 4 s for 44 bytes at 10 bytes per second.
  assert.deepEqual(cuts, ['silent: too slow', 'drips: too slow'])
  pass(15_000)
  assert.deepEqual(cuts.slice(2), ['does not read: too slow'])
  paused.goOn()
  pass(19_000)
  assert.equal(cuts.length, 3)
  pass(2_000)
  assert.equal(cuts[3], 'paused: too slow')
})
