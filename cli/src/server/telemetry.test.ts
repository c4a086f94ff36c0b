import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { createLog } from '@parsec/shared/log'
import { scrubber } from './secrets.ts'
import { openTelemetry } from './telemetry.ts'

/** What is looked at of a report. */
type Event = {
  event_id?: string
  level?: string
  logger: string
  message?: string
  environment: string
  tags: { service?: string }
  extra: { cmd?: string; others_since?: number }
  breadcrumbs: { message: string }[]
  exception?: { values: { type: string; stacktrace: { frames: unknown[] } }[] }
}

test('errors are events, with breadcrumbs, tagged by service, and without secrets (spec 06 §9.3)', async () => {
  const envelopes: { path: string; body: string }[] = []
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const bytes = Buffer.concat(chunks)
    const body = (request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes).toString()
    envelopes.push({ path: request.url!, body })
    response.end('{}')
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const telemetry = openTelemetry({
    dsn: `http://public@127.0.0.1:${port}/42`,
    environment: 'staging',
    services: ['metadata', 'gateway'],
    secrets: ['ADMIN-SECRET', 'p@ssword'],
  })
  const log = createLog({ level: 'CRITICAL', format: 'JSON', file: '/dev/null' })
  log.watch(telemetry.note)
  const metadata = log.child({ service: 'metadata' })
  metadata.info('Connected', { url: 'postgresql://parsec:OTHER-SECRET@db/parsec' })
  metadata.error('Unexpected crash', { cmd: 'vlob_read', error: new Error('refused: Bearer ADMIN-SECRET, p%40ssword') })
  log.error('Reader gone', { administration_token: 'WHOLE', url: 'http://h/?token=QUERY-SECRET&x=1' })
  log.warning('Not an event')
  for (let n = 0; n < 100; n++) log.child({ conn_id: `${n}` }).error('Unexpected crash', { error: new Error('again') })
  await log.close()
  await telemetry.close()
  await new Promise(resolve => server.close(resolve))

  const all = JSON.stringify(envelopes)
  for (const secret of ['ADMIN-SECRET', 'OTHER-SECRET', 'p%40ssword', 'WHOLE', 'QUERY-SECRET'])
    assert.ok(!all.includes(secret), `${secret} in ${all}`)
  assert.ok(!all.includes('--conditions=development'), 'no arguments')
  assert.ok(envelopes.every(({ path }) => path.startsWith('/api/42/envelope/')))
  const events = envelopes
    .flatMap(({ body }) => body.split('\n').filter(line => line !== ''))
    .map(line => JSON.parse(line) as Event)
    .filter(item => item.event_id !== undefined && item.level !== undefined)
  assert.equal(events.length, 4)
  const [crash, gone, again, others] = events as [Event, Event, Event, Event]
  assert.equal(crash.tags.service, 'metadata')
  assert.equal(crash.environment, 'staging')
  assert.equal(crash.exception?.values[0]?.type, 'Error')
  assert.ok(crash.exception?.values[0]?.stacktrace.frames.length)
  assert.equal(crash.extra.cmd, 'vlob_read')
  assert.equal(crash.logger, 'parsec.structlog')
  assert.equal(crash.breadcrumbs[0]?.message, 'Connected')
  assert.equal(gone.tags.service, 'metadata,gateway')
  assert.equal(gone.message, 'Reader gone')
  assert.deepEqual([again.extra.others_since, others.extra.others_since], [undefined, 98])
})

test('what is no DSN is refused by the name of the option', () => {
  assert.throws(() => openTelemetry({ dsn: 'nonsense', environment: 'x', services: [], secrets: [] }), /--sentry-dsn/)
})

test('a scrubbed text keeps everything but the secret', () => {
  const scrub = scrubber(['abc', 'longsecret'])
  assert.equal(scrub('abc of nats://user:pw@host:4222/ is longsecret'), 'abc of nats://user:***@host:4222/ is ***')
  assert.deepEqual(scrub({ list: [1, 'longsecret', null], password: 'x' }), { list: [1, '***', null], password: '***' })
})
