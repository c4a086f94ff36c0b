/**
 * All that clients can make a gateway hold, at once: large messages that never end, replies that nobody reads, bodies that
 * stop, refused upgrades, half requests, events that nobody fetches. The process stays small, and an honest client is
 * served meanwhile. By hand, on a quiet machine:
 *
 *   node --conditions=development --test tests/limits/memory.manual.ts
 */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { type Connection, clientOf, pack } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'

const MAX_RESIDENT_BYTES = 512 * 1024 * 1024
const MAX_P99_MS = 250
const ATTACKERS = 60
const ROUNDS = 20
const MIB = 1024 * 1024

const cluster = await Cluster.start({ topology: 'cluster' })
const gateway = cluster.process('gateway-1')
const client = clientOf(cluster, gateway.url)
const sockets: Socket[] = []
after(async () => {
  for (const socket of sockets) socket.destroy()
  await client.end()
  await cluster.stop()
})

const resident = async () =>
  Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${gateway.pid}/status`, 'utf8'))![1]) * 1024

/** The head of a binary frame of a client, whose mask is zero. */
function frameHead(length: number): Buffer {
  const head = Buffer.alloc(14)
  head[0] = 0x82
  head[1] = 0xff
  head.writeBigUInt64BE(BigInt(length), 2)
  return head
}
const rawOf = (connection: Connection) => Reflect.get(connection.ws, '_socket') as Socket
function raw(says: string | Buffer): void {
  const socket = connect({ host: '127.0.0.1', port: gateway.port, allowHalfOpen: true })
  socket.on('error', () => {})
  sockets.push(socket)
  socket.write(says)
}

test('a gateway under everything at once stays under 512 MiB and answers an honest client', {
  timeout: 300_000,
}, async t => {
  const { id, alice } = await clientOf(cluster).org()
  const honest = await client.connect(alice)
  const realm_id = await client.realm(honest, alice)
  const attack = async () => {
    for (let i = 0; i < ATTACKERS; i++) {
      const anonymous = await client.open({ anonymous: { organization_id: id }, api: [1, 3] })
      rawOf(anonymous)
        .on('error', () => {})
        .write(Buffer.concat([frameHead(MIB), Buffer.alloc(MIB - 1)]))
      const known = await client.connect(alice)
      rawOf(known)
        .on('error', () => {})
        .write(Buffer.concat([frameHead(16 * MIB), Buffer.alloc(16 * MIB - 1)]))
      const deaf = await client.connect(alice)
      deaf.ws.pause()
      for (let n = 0; n < 200; n++) deaf.send(pack({ cmd: 'ping', ping: 'x'.repeat(60_000) }))
      const idle = await client.connect(alice)
      await idle.ok('events_subscribe')
      raw(`POST /anonymous/${id} HTTP/1.1\r\nHost: x\r\nContent-Length: ${MIB}\r\n\r\n`)
      raw(
        Buffer.concat([
          Buffer.from(`POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: ${MIB}\r\n\r\n`),
          Buffer.alloc(MIB - 1),
        ]),
      )
      for (let n = 0; n < 10; n++) {
        raw('GET /no HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
        raw('nonsense\r\n\r\n')
        raw('GET / HTTP/1.1\r\nHost:')
      }
    }
  }
  const attacked = attack().catch(error => t.diagnostic(`attackers: ${error}`))
  const times: number[] = []
  let most = 0
  let isOver = false
  void attacked.then(() => {
    isOver = true
  })
  for (let round = 0; round < ROUNDS || !isOver; round++) {
    for (let n = 0; n < 20; n++) {
      const start = performance.now()
      await honest.ok('realm_status', { realm_id }, 20_000)
      times.push(performance.now() - start)
    }
    most = Math.max(most, await resident())
    await pause(500)
  }
  times.sort((a, b) => a - b)
  const p99 = times[Math.floor(times.length * 0.99)]!
  t.diagnostic(`${Math.round(most / MIB)} MiB resident at most, p99 ${p99.toFixed(1)} ms of ${times.length}`)
  assert.ok(gateway.isRunning, gateway.output)
  assert.ok(most < MAX_RESIDENT_BYTES)
  assert.ok(p99 < MAX_P99_MS)
})
