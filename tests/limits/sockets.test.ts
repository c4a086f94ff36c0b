/** How many sockets may be open, of any kind and in any state, and that what is refused does not stay. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { createHttp } from '@parsec/shared/http/server'
import { createLog } from '@parsec/shared/log'
import { Connection, clientOf } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'
import { freePort } from '../harness/ports.ts'
import { FROM_SOURCES, makeCertificate, Shell } from '../hosting/installation.ts'

const MAX_CONNECTIONS = 300

const folder = await mkdtemp(join(tmpdir(), 'parsec-tls-'))
const lines: string[] = []
const log = createLog({ level: 'CRITICAL', format: 'JSON', file: join(folder, 'log') })
log.watch((_level, event, fields) => lines.push(`${event} ${JSON.stringify(fields)}`))
async function serve(certificate: { key: string; cert: string } | undefined) {
  const files = certificate && { key: await readFile(certificate.key), cert: await readFile(certificate.cert) }
  const http = await createHttp(
    {
      ...{ host: '127.0.0.1', port: 0, debug: false, forwardProtoEnforceHttps: null, trustedProxies: [] },
      ...{ tls: files ?? null, maxConnections: 100 },
    },
    log,
  )
  http.app.get('/turn', async () => {
    turns.atOnce.push(++turns.running)
    await pause(1)
    turns.running--
    return ''
  })
  return { http, port: (await http.listen()).port }
}
/** How many requests for `/turn` are worked on, and were when each began. */
const turns = { running: 0, atOnce: [] as number[] }
const [tls, plain] = [await serve(await makeCertificate(folder, 'half')), await serve(undefined)]
/** It takes a while to end. */
const half = connect({ host: '127.0.0.1', port: tls.port, allowHalfOpen: true }).on('error', () => {})
half.resume().write('\x16\x03\x01')

const cluster = await Cluster.start({ topology: 'single', flags: [`--max-connections=${MAX_CONNECTIONS}`] })
const { port, pid } = cluster.process('server')
const client = clientOf(cluster)
after(async () => {
  assert.doesNotMatch(cluster.output, /Unexpected crash/)
  await client.end()
  await cluster.stop()
  await Promise.all([tls.http.close(), plain.http.close()])
  await rm(folder, { recursive: true })
})

/** A peer that says something, and never hangs up by itself. */
class Peer {
  readonly socket: Socket
  heard = ''
  constructor(says: string, to = port) {
    this.socket = connect({ host: '127.0.0.1', port: to, allowHalfOpen: true })
    this.socket.on('error', () => {})
    this.socket.on('data', data => {
      this.heard += data
    })
    if (says !== '') this.socket.write(says)
  }
}
const upgrade = (path: string) =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${Buffer.alloc(16).toString('base64')}\r\n\r\n`
const descriptors = async () => (await readdir(`/proc/${pid}/fd`)).length
/** Longer than anything here may take, so that what never comes is told as what it is. */
const PATIENCE_MS = 25_000
async function until(isTrue: () => boolean | Promise<boolean>) {
  const end = performance.now() + PATIENCE_MS
  while (!(await isTrue())) {
    assert.ok(performance.now() < end, `never true: ${isTrue}`)
    await pause(50)
  }
}

test('refused upgrades and malformed requests are destroyed within seconds, whoever holds on to them', async () => {
  await client.org()
  const before = await descriptors()
  const says = [upgrade('/nowhere'), 'no HTTP at all\r\n\r\n', `GET / HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`]
  const peers = Array.from({ length: 150 }, (_, i) => new Peer(says[i % says.length]!))
  await until(() => peers.every(peer => peer.heard !== ''))
  for (const [i, status] of [404, 400, 431].entries()) assert.match(peers[i]!.heard, new RegExp(`^HTTP/1.1 ${status} `))
  // The pool may open a connection to the database in the meantime; 150 sockets it does not.
  await until(async () => (await descriptors()) <= before + 10)
  for (const peer of peers) peer.socket.destroy()
})

test('sockets of any kind count, and one too many is told so: 503', async () => {
  const { alice } = await client.org()
  const known = await client.connect(alice)
  const silent = Array.from({ length: MAX_CONNECTIONS - 1 }, () => new Peer(''))
  // They are accepted in order; this one is behind them.
  const request = new Peer('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await until(() => request.heard !== '')
  assert.match(request.heard, /^HTTP\/1.1 503 .*connection: close/is)
  const websocket = new Peer(upgrade('/ws'))
  await until(() => websocket.heard !== '')
  assert.match(websocket.heard, /^HTTP\/1.1 503 /)
  assert.equal((await known.cmd('ping', { ping: 'x' })).pong, 'x')
  for (const peer of [...silent, request, websocket]) peer.socket.destroy()
  await until(async () => (await client.fetch('/').catch(() => undefined))?.status === 200)
  await (await Connection.socket(cluster.url)).close()
})

test('a connection that waits for its next request makes room for one that has it', async () => {
  const idle = Array.from({ length: MAX_CONNECTIONS - 5 }, () => new Peer('GET / HTTP/1.1\r\nHost: x\r\n\r\n'))
  await until(() => idle.every(peer => peer.heard.startsWith('HTTP/1.1 200')))
  const more = Array.from({ length: 10 }, () => new Peer(''))
  await until(() => idle.filter(peer => peer.socket.readableEnded).length >= 5)
  assert.ok(idle.some(peer => !peer.socket.readableEnded))
  for (const peer of [...idle, ...more]) peer.socket.destroy()
})

test('what has come of a body counts among the bytes in flight, however small it is (DESIGN §11)', async () => {
  const half = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n'
  const peers = Array.from({ length: 20 }, () => new Peer(half + 'x'.repeat(1000), plain.port))
  await until(() => plain.http.inFlight.total === 20_000)
  for (const { socket } of peers) socket.end('x'.repeat(1000))
  await until(() => peers.every(({ heard }) => heard.startsWith('HTTP/1.1 404')) && plain.http.inFlight.total === 0)
})

test('what one connection sends ahead is answered one after the other: it is one client, however much it asks', async () => {
  const peer = new Peer('GET /turn HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(20), plain.port)
  await until(() => peer.heard.split('HTTP/1.1 200').length === 21)
  assert.deepEqual(turns.atOnce, Array(20).fill(1))
  peer.socket.destroy()
})

test('a request names one host (RFC 9112 §3.2)', async () => {
  const says = ['', 'Host: x\r\n', 'Host: x\r\nhost: x\r\n', 'Host: x\r\nHost: y\r\n']
  const peers = [
    ...says.map(hosts => new Peer(`GET / HTTP/1.1\r\n${hosts}\r\n`, plain.port)),
    ...says.map(hosts => new Peer(`GET / HTTP/1.0\r\n${hosts}\r\n`, plain.port)),
    new Peer('GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n', plain.port),
  ]
  await until(() => peers.every(({ heard }) => heard !== ''))
  const statuses = peers.map(({ heard }) => Number(heard.slice(9, 12)))
  assert.deepEqual(statuses, [400, 404, 400, 400, 404, 404, 400, 400, 404])
  for (const { socket } of peers) socket.destroy()
})

test('half a TLS handshake ends; TLS on the plain port and plain HTTP on the TLS port are told once', async () => {
  for (let i = 0; i < 2; i++) {
    const wrong = [
      new Peer('GET / HTTP/1.1\r\nHost: x\r\n\r\n', tls.port),
      new Peer('\x16\x03\x01\x02\x00', plain.port),
    ]
    await until(() => wrong.every(peer => peer.socket.readableEnded || peer.socket.destroyed))
    for (const peer of wrong) peer.socket.destroy()
  }
  assert.equal(lines.filter(line => line.startsWith('Plain HTTP on the TLS port')).length, 1)
  assert.equal(lines.filter(line => line.startsWith('TLS on the plain port')).length, 1)
  assert.ok(lines.filter(line => /^(?:Plain HTTP|TLS) on/.test(line)).every(line => line.includes('"hint"')))
  await until(() => half.readableEnded || half.destroyed)
  assert.equal(tls.http.sockets.count, 0)
  half.destroy()
})

test('fewer file descriptors than --max-connections: it says so, refuses in order, and can still be asked how it is', async t => {
  const shell = await Shell.open(['sh', '-c', 'ulimit -n 400 && exec "$0" "$@"', ...FROM_SOURCES])
  const [own, monitor] = [await freePort(), await freePort()]
  const options = ['--max-connections=1000', `--port=${own}`, `--monitor-port=${monitor}`]
  const server = await shell.serve(own, ['backend', 'run', '--dev', ...options])
  const peers: Peer[] = []
  t.after(async () => {
    for (const { socket } of peers) socket.destroy()
    await shell.close()
  })
  assert.equal(server.output.match(/Fewer connections than --max-connections/g)?.length, 1)
  for (let i = 0; i < 500; i++) peers.push(new Peer('', own))
  // Whoever is over the number of those that are told is closed: everybody before them was accepted.
  await until(() => server.output.includes('Connections closed unheard'))
  for (const path of ['healthz', 'readyz', 'metrics'])
    assert.equal((await fetch(`http://127.0.0.1:${monitor}/${path}`)).status, 200)
  for (const { socket } of peers.splice(100)) socket.destroy()
  await until(async () => (await fetch(`http://127.0.0.1:${own}/`).catch(() => undefined))?.status === 200)
})
