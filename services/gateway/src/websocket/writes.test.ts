import assert from 'node:assert/strict'
import { on } from 'node:events'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { Writes } from './writes.ts'

/** Bytes before a message of less than 126. */
const HEADER = 2

const peer = () => {
  const socket = new PassThrough()
  const say = (writes: Writes, text: string) => writes.send(socket, Buffer.from(text))
  const heard = () => String(socket.read()?.subarray(HEADER) ?? '')
  return { socket, say, heard }
}

test('a reply that nobody else waits beside leaves at once', () => {
  const [writes, { say, heard }] = [new Writes(), peer()]
  say(writes, 'alone')
  assert.equal(heard(), 'alone')
})

test('replies of one turn leave with the last one that is expected', () => {
  const [writes, one, two] = [new Writes(), peer(), peer()]
  for (let i = 0; i < 2; i++) writes.expect()
  writes.came()
  one.say(writes, 'first')
  assert.equal(one.heard(), '')
  writes.came()
  two.say(writes, 'last')
  assert.deepEqual([one.heard(), two.heard()], ['first', 'last'])
})

test('a reply waits a turn at most for one that takes longer', async () => {
  const [writes, { say, heard }] = [new Writes(), peer()]
  writes.expect()
  say(writes, 'ready')
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(heard(), 'ready')
})

test('a connection that was closed meanwhile holds nobody up', async () => {
  const [writes, gone, there] = [new Writes(), peer(), peer()]
  writes.expect()
  gone.say(writes, 'never read')
  there.say(writes, 'read')
  gone.socket.destroy()
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(there.heard(), 'read')
})

test('a message of any length is one message for each who gets it (RFC 6455 §5.2)', async () => {
  const lengths = [0, 1, 125, 126, 2048, 2049, 65_535, 65_536]
  const server = new WebSocketServer({ port: 0 })
  const writes = new Writes()
  const messages = lengths.map(length => Buffer.alloc(length, 'x'))
  server.on('connection', (_, { socket }) => {
    for (const message of messages) writes.send(socket, message)
  })
  const clients = [1, 2].map(() => new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`))
  const heard = clients.map(async client => {
    const came: number[] = []
    for await (const [data, isBinary] of on(client, 'message')) {
      assert.ok(isBinary)
      if (came.push(data.length) === lengths.length) return came
    }
    return came
  })
  assert.deepEqual(await Promise.all(heard), [lengths, lengths])
  for (const client of clients) client.terminate()
  server.close()
})
