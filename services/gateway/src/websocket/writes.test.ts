import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { Writes } from './writes.ts'

const peer = () => {
  const socket = new PassThrough()
  const say = (writes: Writes, text: string) => {
    writes.hold(socket)
    socket.write(text)
    writes.release()
  }
  return { socket, say, heard: () => String(socket.read() ?? '') }
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
