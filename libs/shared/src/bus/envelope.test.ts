import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { encode } from '../codec/msgpack.ts'
import { Unavailable } from '../errors.ts'
import type { Context } from '../protocol/context.ts'
import { Contexts, Envelope, encodeContext, opened } from './envelope.ts'

const CONTEXT: Context = { kind: 'administration', conn_id: '0123456789abcdef', api_version: [3, 0], release: null }
const message = { cmd: 'ping', ping: 'é'.repeat(300) }
const envelope = (context = encodeContext(CONTEXT)): Envelope =>
  new Envelope({ context, request_id: '00000000000000ff', msLeft: 4_500, message }, encode(message))

describe('an envelope', () => {
  test('tells the same whether it is handed over or goes over a wire', () => {
    const told = opened(envelope().toBytes())
    const { context, request_id, msLeft } = envelope().told
    assert.deepEqual({ ...told, message: { ...told.message } }, { context, request_id, msLeft, message })
  })
  test('is as long as it says', () => assert.equal(envelope().length, envelope().toBytes().length))
  test('of a form that is not understood is refused', () => {
    const bytes = envelope().toBytes()
    bytes[1] = 99
    assert.throws(() => opened(bytes), Unavailable)
  })
})

describe('contexts', () => {
  test('are decoded once, and cannot be changed', () => {
    const contexts = new Contexts()
    const context = contexts.read(encodeContext(CONTEXT))
    assert.deepEqual({ ...context }, CONTEXT)
    assert.equal(contexts.read(encodeContext(CONTEXT)), context)
    assert.ok(Object.isFrozen(context))
  })
  test('are forgotten when many others were used since', () => {
    const contexts = new Contexts()
    const use = (n: number) => contexts.read(encodeContext({ ...CONTEXT, conn_id: String(n) }))
    const first = use(0)
    for (let n = 1; n < 10_000; n++) use(n)
    assert.notEqual(use(0), first)
    assert.equal(use(9_999), use(9_999))
  })
})
