/** A broker that is away: the log says why it does not take us back, for as long as it does not. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { NatsBus } from '@parsec/shared/bus/nats'
import type { Log } from '@parsec/shared/log'
import { OwnNats } from '../harness/own-nats.ts'
import { until } from '../hosting/installation.ts'

const lines: string[] = []
const note = (event: string, keys = {}) => void lines.push(`${event} ${JSON.stringify(keys)}`)
const log: Log = { debug() {}, info: note, warning: note, error: note, critical: note, child: () => log }
const broker = await OwnNats.prepare()
await broker.up()
const bus = await NatsBus.connect({ url: broker.url(), name: 'test', log })
after(async () => {
  await bus.drain()
  await broker.stop()
})

test('what keeps a lost broker from being reached is told, until it is reached', async () => {
  await broker.kill()
  await until('the reason', () => lines.some(line => /^NATS is away .*connection refused/.test(line)))
  await broker.up()
  await until('the broker', () => bus.connected)
  assert.match(lines.at(-1)!, /^NATS connection restored/)
})
