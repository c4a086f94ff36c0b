/** Several addresses in `--nats-url`: each may be tried again, whether somebody answered there at the start or not. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { NatsBus } from '@parsec/shared/bus/nats'
import type { Log } from '@parsec/shared/log'
import { OwnNats } from '../harness/own-nats.ts'

/** Each chooses by chance which address it tries first. */
const BUSES = 8
const PATIENCE_MS = 20_000

const log: Log = { debug() {}, info() {}, warning() {}, error() {}, critical() {}, child: () => log }
const [first, second] = [await OwnNats.prepare([], 'first'), await OwnNats.prepare([], 'second')]
const buses: NatsBus[] = []
after(async () => {
  await Promise.all(buses.map(bus => bus.drain()))
  await first.stop()
  await second.stop()
})

test('a server that did not run at the start takes the place of one that ends, and the other way round', async () => {
  await first.up()
  const options = { url: `${first.url()},${second.url()}`, name: 'test', log }
  for (let n = 0; n < BUSES; n++) buses.push(await NatsBus.connect(options))
  for (const [former, next] of [
    [first, second],
    [second, first],
  ] as const) {
    await former.kill()
    await next.up()
    for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await pause(20))
      if ((await Promise.allSettled(buses.map(bus => bus.flush()))).every(({ status }) => status === 'fulfilled')) break
    assert.deepEqual(
      buses.map(bus => bus.connected),
      buses.map(() => true),
    )
  }
})
