/** Whoever asks for much and is busy when it comes is not cut off by its broker, which keeps 64 MiB for each. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { NatsBus } from '@parsec/shared/bus/nats'
import type { Log } from '@parsec/shared/log'
import { OwnNats } from '../harness/own-nats.ts'

const REPLIES = 12
const REPLY_BYTES = 20 * 1024 * 1024
const log: Log = { debug() {}, info() {}, warning() {}, error() {}, critical() {}, child: () => log }

test(`${REPLIES} long answers wait for a process that reads none of them`, async t => {
  const nats = await OwnNats.prepare()
  await nats.up()
  const server = await NatsBus.connect({ url: nats.url(), name: 'test', log })
  t.after(async () => {
    await server.drain()
    await nats.stop()
  })
  const reply = Buffer.alloc(REPLY_BYTES)
  const taken: string[] = []
  const serving = await server.serve('long', 'q', async request => {
    taken.push(request.toString())
    return reply
  })
  const asker = connect(nats.port, '127.0.0.1')
  t.after(() => asker.destroy())
  await once(asker, 'readable')
  const requests = Array.from({ length: REPLIES }, (_, i) => `PUB parsec.long parsec.inbox.any.${i} 1\r\nx\r\n`)
  const options = { verbose: false, headers: true, no_responders: true }
  asker.write(`CONNECT ${JSON.stringify(options)}\r\nSUB parsec.inbox.any.* 1\r\n${requests.join('')}`)
  while (taken.length < REPLIES) await server.flush()
  // What the answers were made of has left the process, and the broker has taken it.
  await new Promise(resolve => setImmediate(resolve))
  await server.flush()

  const end = { isOver: false, said: '' }
  asker.on('close', () => {
    end.isOver = true
  })
  asker.on('data', piece => {
    end.said = piece.toString('latin1').slice(-100)
  })
  asker.write('PING\r\n')
  while (!end.isOver && !/PONG\r\n/.test(end.said)) await new Promise(resolve => setImmediate(resolve))
  assert.equal(end.isOver, false, 'the broker has cut the asker off')
  // It wants no more of them.
  for (let i = 0; i < REPLIES; i++) {
    const word = `-parsec.inbox.any.${i}`
    asker.write(`PUB parsec.long.caller ${word.length}\r\n${word}\r\n`)
  }
  await serving.close()
})
