/** What is traced and how it leaves, with a collector of our own; `tests/hosting/traces.test.ts` has whole servers. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { limits } from '@parsec/shared/limits'
import { createLog, type LogKeys } from '@parsec/shared/log'
import { traced, WORK, type Work } from '@parsec/shared/tracing'
import { Traces } from './traces.ts'

type Sent = { name: string; traceId: string; spanId: string; parentSpanId?: string; status: { message?: string } }

async function collecting(
  status: number,
  sampleRatio: number,
  run: () => Promise<void>,
): Promise<{ spans: Sent[]; heads: IncomingHttpHeaders[]; lines: LogKeys[] }> {
  const [spans, heads]: [Sent[], IncomingHttpHeaders[]] = [[], []]
  const log = createLog({ level: 'WARNING', format: 'JSON', file: '/dev/null' })
  const server = createServer(async (request, response) => {
    const chunks = await request.toArray()
    const { resourceSpans } = JSON.parse(Buffer.concat(chunks).toString())
    for (const { scopeSpans } of resourceSpans) spans.push(...scopeSpans[0].spans)
    heads.push(request.headers)
    response.writeHead(status).end('{}')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`
  const traces = new Traces({ url, authorization: 'Basic eDp5', sampleRatio }, log)
  try {
    await run()
  } finally {
    await traces.close()
    server.close()
  }
  const lines = log.warnings().map(({ event, keys }) => ({ event, ...JSON.parse(keys) }))
  return { spans, heads, lines }
}
const begin = (name: string): Work => ({ name, kind: 'server', service: 'gateway', attributes: {}, parent: null })
const part = (name: string): Work => ({ name, kind: 'client', attributes: {} })
const nothing = async () => {}

test('a part is under what it is a part of, and each beginning is a trace of its own', async () => {
  const { spans, heads } = await collecting(200, 1, async () => {
    await traced(
      () => begin('a'),
      async () => {
        await traced(() => part('a1'), nothing)
        // As a connection takes up the next command when one is answered.
        await traced(() => begin('b'), nothing)
      },
    )
  })
  const [a1, b, a] = ['a1', 'b', 'a'].map(name => spans.find(span => span.name === name)!)
  assert.equal(a1!.traceId, a!.traceId)
  assert.equal(a1!.parentSpanId, a!.spanId)
  assert.notEqual(b!.traceId, a!.traceId)
  assert.equal(b!.parentSpanId, undefined)
  assert.equal(heads[0]!.authorization, 'Basic eDp5')
})

test('what the server does by itself is in no trace', async () => {
  const { spans } = await collecting(200, 1, () => traced(() => part('sweep'), nothing))
  assert.deepEqual(spans, [])
})

test('the trace goes on where another process asked, unless it is not traced there', async () => {
  const ids = ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'] as const
  const asked = (parent: string) => () => ({ ...begin('served'), parent })
  const { spans } = await collecting(200, 1, async () => {
    await traced(asked(`00-${ids[0]}-${ids[1]}-01`), nothing)
    await traced(asked(`00-${ids[0]}-${ids[1]}-00`), nothing)
    await traced(asked('nonsense'), nothing)
  })
  assert.deepEqual(
    spans.map(({ traceId, parentSpanId }) => [traceId, parentSpanId]),
    [ids],
  )
})

test('a failure is told with its reason, and stays one', async () => {
  const { spans } = await collecting(200, 1, async () => {
    await assert.rejects(
      traced(
        () => begin('a'),
        async () => {
          throw new Error('no luck')
        },
      ),
      /no luck/,
    )
  })
  assert.equal(spans[0]!.status.message, 'no luck')
})

test('nothing is sampled at a ratio of 0, with all that is under it', async () => {
  const run = () =>
    traced(
      () => begin('a'),
      async work => {
        assert.match(work!.traceparent!, /-00$/)
        await traced(() => part('a1'), nothing)
      },
    )
  const { spans } = await collecting(200, 0, run)
  assert.deepEqual(spans, [])
})

test('what a collector does not take is bounded, and told once', async () => {
  const { lines } = await collecting(503, 1, async () => {
    const many = Array.from({ length: limits.waiting_spans.value + 700 }, () => traced(() => begin('a'), nothing))
    await Promise.all(many)
  })
  assert.deepEqual(
    lines.map(({ event, reason }) => [event, reason]).sort(),
    [
      ['Traces dropped', 'more than can be sent'],
      ['Traces dropped', 'the collector answers 503'],
    ].sort(),
  )
})

test('when it ends, nothing is traced any more', async () => {
  await collecting(200, 1, nothing)
  assert.equal(WORK.hasSubscribers, false)
})
