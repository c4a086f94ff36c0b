/** What services of other releases may say, and what of it is refused. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Budget } from '../budget.ts'
import { decodeMap, type Encodable, encode } from '../codec/msgpack.ts'
import { Uuid } from '../codec/values.ts'
import { ANSWER_MARGIN_MS } from '../deadlines.ts'
import { Unavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import { admissionOf } from './admission.ts'
import { LocalBus } from './local.ts'
import { callInternal, serveCommands, serveInternal } from './rpc.ts'
import * as subjects from './subjects.ts'

const LONG = { timeoutMs: 60_000 }
const silent: Log = { debug() {}, info() {}, warning() {}, error() {}, critical() {}, child: () => silent }
const bus = new LocalBus()
after(() => bus.drain())
const serving = { bus, log: silent, admission: admissionOf(1), scope: <C>(call: C) => call }
const asked: unknown[] = []
const budgets: number[] = []
const found = { organization: null, spontaneous: false }
await serveInternal(
  { ...serving, service: 'metadata' },
  {
    async organization_find({ budget }, request) {
      asked.push(request)
      budgets.push(budget.msLeft)
      return found
    },
  },
)
await serveCommands(
  { ...serving, service: 'blockstore' },
  {
    block_read: async ({ context }) => {
      asked.push(context)
      return { status: 'not_found' }
    },
    block_create: async () => ({ status: 'ok' }),
  },
)

const ask = async (message: Encodable) => ({
  ...decodeMap(await bus.request(subjects.internal('metadata', 'organization_find'), encode(message), LONG)),
})

test('an internal request may have more than this release knows', async () => {
  assert.deepEqual(
    { ...(await callInternal(bus, 'organization_find', { organization_id: 'Org', create: false })) },
    found,
  )
  assert.deepEqual(await ask([1, 5_000, { organization_id: 'Org', more: 1 }, 'more']), found)
})

test('a service has less time than whoever waits for it, so that its answer can still come', async () => {
  const budget = new Budget(2_000)
  await callInternal(bus, 'organization_find', { organization_id: 'Org', create: false }, { budget })
  assert.ok(budgets.at(-1)! <= 2_000 - ANSWER_MARGIN_MS, `${budgets.at(-1)} ms`)
  budget.end()
})

test('another form is refused, as one of a release that is too far away', async () => {
  const before = asked.length
  for (const form of [0, 2, 99]) {
    const failure = await ask([form, 5_000, { organization_id: 'Org' }]).catch(error => error)
    assert.ok(failure instanceof Unavailable, String(failure))
    assert.match(failure.message, new RegExp(`another release speaks form ${form}`))
  }
  assert.equal(asked.length, before)
})

test('a command may come with more than this release knows', async () => {
  const context = { kind: 'authenticated', organization_id: 'Org', conn_id: 'c', more: 'of the next' }
  const message = encode({ cmd: 'block_read', block_id: Uuid.random() })
  const commanded = async (form: number) =>
    decodeMap(
      await bus.request(
        subjects.command('blockstore', 'block_read'),
        encode([form, encode(context), 'request', 5_000, message, 'more']),
        LONG,
      ),
    )
  assert.deepEqual({ ...(await commanded(1)) }, { status: 'not_found' })
  assert.deepEqual({ ...(asked.at(-1) as object) }, context)
  await assert.rejects(commanded(2), /another release speaks form 2/)
})
