/** One read of a client is one trace through gateway, bus, metadata and SQL: in one process, and in one process per service. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { createDatabase, startNats, type TestDatabase, type TestNats } from '../harness/backing.ts'
import { Context } from '../harness/client.ts'
import { freePort } from '../harness/ports.ts'
import { Shell, until } from './installation.ts'

type Span = { traceId: string; spanId: string; parentSpanId?: string; name: string; kind: number; service: string }

/** A collector as far as it is asked: it answers, and keeps what came. */
const spans: Span[] = []
const collector = createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray()).toString()
  for (const { resource, scopeSpans } of JSON.parse(body).resourceSpans) {
    const service = resource.attributes.find(({ key }: { key: string }) => key === 'service.name').value.stringValue
    for (const span of scopeSpans[0].spans) spans.push({ ...span, service })
  }
  bodies.push(body)
  response.writeHead(request.url === '/otlp/v1/traces' ? 200 : 404).end('{}')
})
const bodies: string[] = []
const made: { shell: Shell; database: TestDatabase; nats: TestNats } = {} as never

before(async () => {
  await once(collector.listen(0, '127.0.0.1'), 'listening')
  made.shell = await Shell.open()
  made.database = await createDatabase()
  made.nats = await startNats()
  assert.equal((await made.shell.run(['backend', 'migrate'], { PARSEC_DB: made.database.url })).exitCode, 0)
})
after(async () => {
  await made.shell.close()
  collector.close()
  await Promise.all([made.nats.stop(), made.database.drop()])
})

const variables = () => ({
  PARSEC_DB: made.database.url,
  PARSEC_BLOCKSTORE: 'MOCKED',
  PARSEC_ADMINISTRATION_TOKEN: 's3cr3t',
  PARSEC_EMAIL_HOST: 'MOCKED',
  PARSEC_OTEL_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}/otlp`,
})

/** Writes and reads a vlob; resolves to the trace of the read, topmost first. */
async function traceOfRead(port: number): Promise<Span[]> {
  spans.length = 0
  const client = new Context({ url: `ws://127.0.0.1:${port}`, token: 's3cr3t', target: 'ours', features: new Set() })
  const { alice } = await client.org()
  const session = await client.connect(alice)
  const realm_id = await client.realm(session, alice)
  const { vlob_id } = await client.vlob(session, realm_id)
  await session.ok('vlob_read', { encryption_revision: 1, vlob_id, version: null, timestamp: null })
  await client.end()
  const read = () => spans.find(({ name }) => name === 'vlob_read')
  const whole = () => {
    const trace = spans.filter(({ traceId }) => traceId === read()?.traceId)
    const ordered: Span[] = []
    for (let at = read(); at; at = trace.find(({ parentSpanId }) => parentSpanId === at!.spanId)) ordered.push(at)
    return ordered
  }
  await until('the whole trace has come', () => whole().length === 4)
  return whole()
}
const OF_A_READ = [
  ['parsec-gateway', 'vlob_read', 2],
  ['parsec-gateway', 'bus cmd.metadata.vlob_read', 3],
  ['parsec-metadata', 'metadata vlob_read', 2],
  ['parsec-metadata', 'SQL SELECT', 3],
]
const shown = (trace: readonly Span[]) => trace.map(({ service, name, kind }) => [service, name, kind])

test('in one process', async () => {
  const port = await freePort()
  const server = await made.shell.serve(port, ['backend', 'run', '--port', `${port}`], variables())
  assert.deepEqual(shown(await traceOfRead(port)), OF_A_READ)
  await server.end()
})

test('in one process per service, and no token, key or content is told', async () => {
  const [port, monitor] = [await freePort(), await freePort()]
  const env = (services: string) => ({ ...variables(), PARSEC_NATS_URL: made.nats.url, PARSEC_SERVICES: services })
  made.shell.start(['backend', 'run', '--monitor-port', `${monitor}`], env('metadata,blockstore'))
  await made.shell.serve(port, ['backend', 'run', '--port', `${port}`], env('gateway,admin'))
  const ready = () =>
    fetch(`http://127.0.0.1:${monitor}/readyz`).then(
      reply => reply.ok,
      () => false,
    )
  await until('the services behind are ready', ready)
  assert.deepEqual(shown(await traceOfRead(port)), OF_A_READ)
  assert.ok(bodies.length > 0)
  for (const body of bodies) assert.doesNotMatch(body, /s3cr3t|Bearer|bootstrap_token":"/)
})
