/** Enrollment of users and devices between two gateways, for clients of five releases, undisturbed and disturbed in each step. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import { type Connection, type Context, clientOf, type Device, refused, type Uuid } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'
import {
  type Api,
  type BeforeStep,
  claim,
  type Greeter,
  greet,
  type InvitationType,
  Peer,
  PeerReset,
  STEPS,
  type Step,
  untilDone,
} from './exchange.ts'

const APIS: readonly Api[] = [
  [2, 0],
  [2, 2],
  [2, 8],
  [3, 2],
  [3, 4],
]
const TYPES: readonly InvitationType[] = ['USER', 'DEVICE']
const NEWEST: Api = [3, 4]
const ALREADY_DELETED = 'Invalid handshake: Invitation already deleted'

const cluster = await Cluster.start({ topology: 'cluster' })
const [greeting, claiming] = ['gateway-1', 'gateway-2'].map(name => clientOf(cluster, cluster.process(name).url)) as [
  Context,
  Context,
]
/** Whoever looks on does so from a gateway that nothing happens to. */
const onlooking = clientOf(cluster, cluster.process('gateway-3').url)
const administering = clientOf(cluster)
after(async () => {
  for (const client of [greeting, claiming, onlooking, administering]) await client.end()
  await cluster.stop()
})

type Pair = {
  type: InvitationType
  api: Api
  alice: Device
  email: string
  token: Uuid
  /** A connection of the greeter that takes no part in the exchange. */
  onlooker: Connection
  greeter: Greeter
  claimer: Peer
  newClaimer(): Promise<Peer>
}

/** An invitation with both sides connected, each to a gateway of its own. */
async function pairOf(type: InvitationType, api: Api = NEWEST): Promise<Pair> {
  const { id, alice } = await administering.org()
  const onlooker = await onlooking.connect(alice, { api })
  const email = `zack.${randomBytes(6).toString('hex')}@example.com`
  const claimer_email = type === 'USER' ? { claimer_email: email } : {}
  const { token } = await onlooker.ok('invite_new', { type, send_email: false, ...claimer_email })
  const peer = new Peer(() => greeting.connect(alice, { api }), { token })
  const invited = { organization_id: id, invitation_type: type, token }
  const newClaimer = () => new Peer(() => claiming.open({ invited, api })).connect()
  const greeter = { peer: await peer.connect(), author: alice, token, type, client: greeting }
  return { type, api, alice, email, token, onlooker, greeter, claimer: await newClaimer(), newClaimer }
}

const claimOf = (pair: Pair, claimer = pair.claimer) => claim(claimer, pair.alice.org, pair.type, pair.email)

/** Both sides until the end, starting again whenever the other side does; then the new device works. */
async function enrolled(pair: Pair): Promise<void> {
  const [device_id, device] = await Promise.all([untilDone(() => greet(pair.greeter)), untilDone(() => claimOf(pair))])
  assert.equal(device.device_id, device_id)
  await works(pair, device)
}

async function works({ type, alice, email, api, onlooker, token }: Pair, device: Device): Promise<void> {
  const session = await claiming.connect(device, { api })
  const self = await session.ok('user_get', { user_id: device.user_id })
  if (type === 'USER') assert.equal(self.device_certificates.length, 1)
  else assert.ok(self.device_certificates.length >= 2)
  await claiming.vlob(session, await claiming.realm(session, device))
  if (type === 'USER') {
    const query = { query: email, omit_revoked: true, omit_non_human: false, page: 1, per_page: 10 }
    const found = (await onlooker.ok('human_find', query)).results
    assert.deepEqual(
      found.map((user: { user_id: string }) => user.user_id),
      [device.user_id],
    )
  } else assert.equal(device.user_id, alice.user_id)
  const { invitations } = await onlooker.ok('invite_list')
  assert.ok(!invitations.some((invitation: { token: Uuid }) => token.equals(invitation.token)))
}

for (const api of APIS)
  for (const type of TYPES)
    test(`${type} enrollment of clients of API ${api.join('.')}`, async () => {
      const pair = await pairOf(type, api)
      const info = await pair.claimer.connection.ok('invite_info')
      assert.equal(info.type, type)
      assert.equal(info.greeter_user_id, 'alice')
      assert.deepEqual(info.greeter_human_handle, ['alice@example.com', 'alice'])
      if (type === 'USER') assert.equal(info.claimer_email, pair.email)
      await enrolled(pair)
    })

/** A promise and what fulfils it. */
function gate(): { opened: Promise<void>; open(): void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { opened: promise, open: resolve }
}

/** Runs `action` the first time that a side comes to a step. */
function once(wanted: Step, action: (send: () => void) => Promise<void>): BeforeStep {
  const state = { done: false }
  return async (step, send) => {
    if (step !== wanted || state.done) return
    state.done = true
    await action(send)
  }
}

/**
 * In a step, `side` sends its command and then loses its connection by `disturb`; it starts again once that is over.
 * The other side goes on with the step only then, so that nothing of the lost side's command is answered before.
 */
function loses(pair: Pair, side: 'greeter' | 'claimer', step: Step, disturb: (peer: Peer) => Promise<void>): void {
  const [mine, other] = side === 'claimer' ? [pair.claimer, pair.greeter.peer] : [pair.greeter.peer, pair.claimer]
  const { opened, open } = gate()
  mine.before = once(step, async send => {
    send()
    await disturb(mine)
    open()
    await mine.connect()
    throw new PeerReset('connection lost')
  })
  // The claimer comes to 2b only when the greeter is in it.
  if (!(side === 'claimer' && step === '2b')) other.before = once(step, () => opened)
}

for (const type of TYPES)
  for (const step of STEPS)
    test(`${type}: the claimer reconnects in step ${step}`, async () => {
      const pair = await pairOf(type)
      loses(pair, 'claimer', step, async peer => {
        await peer.connection.close()
        await untilIdle(pair)
      })
      await enrolled(pair)
    })

/** Until the server has noticed that no claimer is there. */
async function untilIdle({ onlooker, token }: Pair): Promise<void> {
  type Listed = { token: Uuid; status: string }
  for (;;) {
    const { invitations } = await onlooker.ok('invite_list')
    if ((invitations as Listed[]).find(listed => token.equals(listed.token))?.status === 'IDLE') return
  }
}

test('two claimers race: exactly one is enrolled', async () => {
  const pair = await pairOf('USER')
  const rival = await pair.newClaimer()
  const greeted = untilDone(() => greet(pair.greeter))
  // Whoever is told that the peer has started again gives up.
  const outcomes = await Promise.allSettled([claimOf(pair), claimOf(pair, rival)])
  const winners = outcomes.flatMap(outcome => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  for (const outcome of outcomes) if (outcome.status === 'rejected') assert.ok(outcome.reason instanceof PeerReset)
  assert.deepEqual(
    winners.map(device => device.device_id),
    [await greeted],
  )
  await works(pair, winners[0]!)
})

for (const step of STEPS.slice(1))
  test(`a second claimer comes in step ${step} and takes over`, async () => {
    const pair = await pairOf('DEVICE')
    const rival = await pair.newClaimer()
    const { opened, open } = gate()
    const taking = gate()
    pair.claimer.before = once(step, async () => {
      taking.open()
      await opened
    })
    // The first claimer goes on when the second is in the exchange, and the second when the first has been told: a step
    // is not bound to a connection, so the first must not do the very step that the second is at.
    rival.before = once(step === '2a' ? '2b' : '2a', async () => {
      open()
      await first
    })
    const greeted = untilDone(() => greet(pair.greeter))
    const first = assert.rejects(claimOf(pair), PeerReset)
    await taking.opened
    const device = await claimOf(pair, rival)
    await first
    assert.equal(device.device_id, await greeted)
    await works(pair, device)
  })

for (const waiting of ['greeter', 'claimer'] as const)
  for (const step of STEPS)
    test(`the invitation is deleted in step ${step} while the ${waiting} waits`, async () => {
      const pair = await pairOf('USER')
      const [mine, other] =
        waiting === 'claimer' ? [pair.claimer, pair.greeter.peer] : [pair.greeter.peer, pair.claimer]
      const stopped = gate()
      const sent = gate()
      // The claimer comes to 2b only when the greeter is in it: there both wait for the deletion.
      if (!(waiting === 'claimer' && step === '2b'))
        other.before = once(step, async () => {
          stopped.open()
          await deleted.opened
        })
      else stopped.open()
      const deleted = gate()
      mine.before = once(step, async () => sent.open())
      const ends = { greeter: outcomeOf(greet(pair.greeter)), claimer: outcomeOf(claimOf(pair)) }
      await Promise.all([stopped.opened, sent.opened])
      await pair.onlooker.ok('invite_delete', { token: pair.token, reason: 'CANCELLED' })
      deleted.open()
      assert.match(await ends.greeter, /answered already_deleted/)
      assert.match(await ends.claimer, /connection closed/)
      await pair.claimer.connection.untilClosed()
      const { help } = await refused(pair.newClaimer(), 'bad_identity')
      assert.equal(help, ALREADY_DELETED)
    })

const outcomeOf = (playing: Promise<unknown>): Promise<string> =>
  playing.then(
    () => 'finished',
    error => String(error),
  )

for (const [side, name] of [
  ['greeter', 'gateway-1'],
  ['claimer', 'gateway-2'],
] as const)
  test(`the gateway of the ${side} is killed in each step`, async () => {
    const pairs = await Promise.all(STEPS.map((_, i) => pairOf(TYPES[i % TYPES.length]!)))
    const others = await Promise.all(STEPS.map((_, i) => pairOf(TYPES[(i + 1) % TYPES.length]!)))
    const all = [...pairs, ...others]
    const arrived = all.map(gate)
    const restarted = gate()
    for (const [i, pair] of all.entries())
      loses(pair, side, STEPS[i % STEPS.length]!, async () => {
        arrived[i]!.open()
        await restarted.opened
      })
    const playing = Promise.all(all.map(enrolled))
    await Promise.race([Promise.all(arrived.map(({ opened }) => opened)), playing])
    await cluster.process(name).restart('SIGKILL')
    restarted.open()
    await playing
  })
