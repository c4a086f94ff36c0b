/** The conduit's steps, resets and rivals (spec 04 §6), and that no order of calls hands out a wrong payload. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Uuid } from '@parsec/shared/codec/values'
import { CONDUIT_STATES, type ConduitSide, type ConduitState } from '@parsec/shared/protocol/invite'
import { type Conduit, listen, newConduit, type Slot, successor, talk } from './conduit-steps.ts'

const slot = (payload: string): Slot => ({ attempt: Uuid.random(), payload: Buffer.from(payload) })

/** A conduit with one caller's view of it. */
class Table {
  conduit: Conduit = newConduit()
  talk(side: ConduitSide, state: ConduitState, sent = slot('')) {
    const talked = talk(this.conduit, side, state, sent)
    if (talked.status !== 'ok') return talked
    this.conduit = talked.conduit
    const listening = () => {
      const heard = listen(this.conduit, side, state, sent.attempt, talked.peer?.attempt ?? null)
      if (heard.status === 'ok') this.conduit = heard.conduit
      return heard.status === 'ok' || heard.status === 'taken'
        ? String(heard.status === 'ok' ? heard.payload : talked.peer!.payload)
        : heard.status
    }
    return { status: talked.status, listen: listening }
  }
  /** A talk that must not be refused; how to listen for its result. */
  say(side: ConduitSide, state: ConduitState, payload = ''): () => string {
    const talked = this.talk(side, state, slot(payload))
    assert.equal(talked.status, 'ok')
    return (talked as { listen: () => string }).listen
  }
}

test('states follow each other, the last one itself (spec 04 §6.1)', () => {
  assert.deepEqual(CONDUIT_STATES.map(successor), [...CONDUIT_STATES.slice(1), '4_COMMUNICATE'])
})

test('the second talker is answered once the first one has taken (spec 04 §6.2)', () => {
  const table = new Table()
  for (const state of [...CONDUIT_STATES, '4_COMMUNICATE'] as const) {
    const greeter = table.say('greeter', state, `g${state}`)
    assert.equal(greeter(), 'waiting')
    const claimer = table.say('claimer', state, '')
    assert.equal(claimer(), 'waiting')
    assert.equal(greeter(), '')
    assert.equal(claimer(), `g${state}`)
    assert.equal(claimer(), `g${state}`, 'for good')
    assert.equal(greeter(), 'invalid_state', 'but only once for the first one')
  }
})

test('a step 1 that comes again resets, also with the same payload (spec 04 §6.3)', () => {
  const table = new Table()
  const lost = table.say('claimer', '1_WAIT_PEERS', 'key')
  const greeter = table.say('greeter', '1_WAIT_PEERS', 'g')
  const again = table.say('claimer', '1_WAIT_PEERS', 'key')
  assert.equal(lost(), 'invalid_state')
  assert.equal(greeter(), 'invalid_state')
  assert.equal(again(), 'waiting')
  const second = table.say('greeter', '1_WAIT_PEERS', 'g2')
  assert.equal(again(), 'g2')
  assert.equal(second(), 'key')
})

test('a later step out of turn changes nothing (spec 04 §6.3)', () => {
  const table = new Table()
  const wrong = CONDUIT_STATES.slice(1)
  for (const state of wrong) assert.deepEqual(table.talk('greeter', state), { status: 'invalid_state' })
  assert.deepEqual(table.conduit, newConduit())
  const [greeter, claimer] = [table.say('greeter', '1_WAIT_PEERS'), table.say('claimer', '1_WAIT_PEERS')]
  greeter()
  claimer()
  const first = table.say('claimer', '2_1_CLAIMER_HASHED_NONCE', 'hash')
  assert.deepEqual(table.talk('claimer', '2_1_CLAIMER_HASHED_NONCE'), { status: 'invalid_state' })
  assert.equal(first(), 'waiting')
})

test('what was taken stays a success after a reset (spec 04 §8.4)', () => {
  const table = new Table()
  const greeter = table.say('greeter', '1_WAIT_PEERS', 'g')
  const claimer = table.say('claimer', '1_WAIT_PEERS', 'c')
  assert.equal(greeter(), 'c')
  table.say('greeter', '1_WAIT_PEERS', 'again')
  assert.equal(claimer(), 'g')
})

test('two that succeed have met each other, whatever the order of calls', () => {
  type Caller = { side: ConduitSide; name: string; listen: () => string; got: string | undefined }
  // Every order of seven moves: a side talks and listens, or only listens.
  const MOVES = 7
  for (let order = 0; order < 4 ** MOVES; order++) {
    const table = new Table()
    const callers: Caller[] = []
    for (let i = 0; i < MOVES; i++) {
      const move = Math.floor(order / 4 ** i) % 4
      const side = move % 2 === 0 ? 'greeter' : 'claimer'
      if (move < 2)
        callers.push({ side, name: `${i}`, listen: table.say(side, '1_WAIT_PEERS', `${i}`), got: undefined })
      for (const caller of callers) {
        if (caller.side !== side || caller.got !== undefined) continue
        const heard = caller.listen()
        if (/^\d$/.test(heard)) caller.got = heard
      }
    }
    for (const { side, name, got } of callers) {
      if (got === undefined) continue
      const peer = callers.find(caller => caller.name === got)!
      assert.notEqual(peer.side, side)
      assert.ok(peer.got === name || peer.got === undefined)
    }
  }
})
