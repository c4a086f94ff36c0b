/** How large and how many messages may be, by what is known of their client. Beyond, the connection ends and others go on. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { after, test } from 'node:test'
import { CLIENT_SILENCE_MS, CLIENT_SWEEP_MS } from '@parsec/shared/deadlines'
import { limits } from '@parsec/shared/limits'
import { Connection, clientOf, pack, type Reply, unpack } from '../harness/client.ts'
import { ADMINISTRATION_TOKEN, Cluster } from '../harness/launch.ts'

const KIB = 1024
const MIB = 1024 * KIB

const cluster = await Cluster.start({ topology: 'single' })
const client = clientOf(cluster)
after(async () => {
  assert.doesNotMatch(cluster.output, /Unexpected crash/)
  await client.end()
  await cluster.stop()
})

const socketOf = (connection: Connection) => Reflect.get(connection.ws, '_socket') as Socket
/** A frame of a client, whose mask is zero, of which `missing` bytes never come. */
const frame = (opcode: number, bytes: number, missing = 0) =>
  Buffer.concat([Buffer.from([opcode, 0x80 | bytes, 0, 0, 0, 0]), Buffer.alloc(bytes - missing)])
/** How a message begins: with half a frame, half of its head, half of its fragments, or a ping between these. */
const HALVES = [frame(0x82, 100, 50), Buffer.from([0x82]), frame(0x02, 100), [frame(0x02, 100), frame(0x89, 5)]].map(
  parts => Buffer.concat([parts].flat()),
)
/** Their time runs while the other tests are served. */
const stalled: Connection[] = []
const { alice: staller } = await client.org()
for (const half of HALVES)
  for (const connection of [await Connection.socket(cluster.url), await client.connect(staller)]) {
    socketOf(connection).write(half)
    stalled.push(connection)
  }

/** A message of so many bytes is answered with `status`; the connection stays. */
async function isAnswered(connection: Connection, bytes: number, status: string) {
  assert.equal(unpack(await connection.raw(Buffer.alloc(bytes, 0xc1), 20_000)).status, status)
  assert.equal((await connection.cmd('ping', { ping: 'x' })).pong, 'x')
}
async function isTooBig(connection: Connection, bytes: number) {
  connection.send(Buffer.alloc(bytes))
  assert.equal(await connection.untilClosed(20_000), 1009)
}

test('a client that is not known may send 64 KiB, and then 1009 (01-wire §6)', async () => {
  const short = await Connection.socket(cluster.url)
  assert.equal((await short.answer(Buffer.alloc(64 * KIB))).result, 'bad_protocol')
  for (const bytes of [64 * KIB + 1, MIB]) await isTooBig(await Connection.socket(cluster.url), bytes)
})

test('an anonymous or invited client may send 1 MiB, and then 1009 (01-wire §6)', async () => {
  const { id, alice } = await client.org()
  const connection = await client.connect(alice)
  const { token } = await connection.ok('invite_new', { type: 'DEVICE', send_email: false })
  const invited = { organization_id: id, invitation_type: 'DEVICE', token }
  for (const options of [
    { anonymous: { organization_id: id }, api: [1, 3] },
    { administration: { token: ADMINISTRATION_TOKEN }, api: [1, 3] },
    { invited },
  ] as const) {
    const known = await client.open(options as never)
    await isAnswered(known, limits.unauthenticated_message.value, 'invalid_msg_format')
    await isTooBig(known, limits.unauthenticated_message.value + 1)
  }
})

test('a client that is not known may say so many values, and one that is some more: each costs time', async () => {
  const { id, alice } = await client.org()
  const most = limits.unauthenticated_values.value
  /** A map with a list in it, of so many values together. */
  const valued = (count: number, cmd: string) => pack({ cmd, ping: 'x', list: Array(count - 7).fill(null) })
  const answer = async (count: number) => {
    const help = (await (await Connection.socket(cluster.url)).answer(valued(count, 'x'))).help
    return /too many values/.test(String(help))
  }
  assert.deepEqual([await answer(most), await answer(most + 1)], [false, true])
  const anonymous = await client.open({ anonymous: { organization_id: id }, api: [1, 3] } as never)
  const statusOf = async (connection: Connection, count: number) =>
    unpack((await connection.raw(valued(count, 'ping'))) as Buffer).status
  assert.equal(await statusOf(anonymous, most), 'ok')
  assert.equal(await statusOf(anonymous, most + 1), 'invalid_msg_format')
  const known = await client.connect(alice)
  assert.equal(await statusOf(known, limits.message_values.value), 'ok')
  assert.equal(await statusOf(known, limits.message_values.value + 1), 'invalid_msg_format')
})

test('an authenticated client may send 16 MiB, and then 1009 (01-wire §14, 40)', async () => {
  const { alice } = await client.org()
  const connection = await client.connect(alice)
  await isAnswered(connection, 16 * MIB, 'invalid_msg_format')
  await isTooBig(connection, 16 * MIB + 1)
})

test('a client that sends a thousand messages ahead is cut (DESIGN §11)', async () => {
  const { alice } = await client.org()
  const connection = await client.connect(alice)
  const send = (count: number) => {
    const socket = socketOf(connection)
    socket.cork()
    for (let i = 0; i < count; i++) connection.send(pack({ cmd: 'ping', ping: 'x' }))
    socket.uncork()
  }
  send(900)
  for (let i = 0; i < 900; i++) assert.equal(unpack(await connection.next(10_000)).status, 'ok')
  send(2000)
  assert.equal(await connection.untilClosed(10_000), 1008)
})

test('a message that is answered at once counts among those sent ahead, and so does one that only cancels another', async () => {
  const { alice } = await client.org()
  const messages = { 'no command': Buffer.alloc(0), listening: pack({ cmd: 'events_listen', wait: true }) }
  for (const [name, message] of Object.entries(messages)) {
    const connection = await client.connect(alice)
    await connection.ok('events_subscribe')
    const one = Buffer.concat([frame(0x82, message.length).subarray(0, 6), message])
    const send = (count: number) => socketOf(connection).write(Buffer.concat(Array(count).fill(one)))
    send(900)
    connection.send(pack({ cmd: 'ping', ping: name }))
    for (let reply: Reply = { status: '' }; reply.pong !== name; ) reply = unpack(await connection.next(10_000))
    send(10_000)
    assert.equal(await connection.untilClosed(10_000), 1008, name)
  }
})

test('a message may come in frames, but not in as many as it has bytes (RFC 6455 §5.4)', async () => {
  const { alice } = await client.org()
  const send = async (bytes: number) => {
    const connection = await client.connect(alice)
    const message = pack({ cmd: 'ping', ping: 'x'.repeat(bytes) })
    const frames = [...message].map((byte, i) => {
      const opcode = (i === 0 ? 0x02 : 0) | (i === message.length - 1 ? 0x80 : 0)
      return [opcode, 0x81, 0, 0, 0, 0, byte]
    })
    socketOf(connection).write(Buffer.from(frames.flat()))
    return connection
  }
  const half = limits.message_frames.value / 2
  assert.equal(unpack(await (await send(half)).next(10_000)).status, 'ok')
  assert.equal(await (await send(2 * half)).untilClosed(10_000), 1008)
})

test('a client may send pings, but not more at once than the server answers (RFC 6455 §5.5)', async () => {
  const { alice } = await client.org()
  const connection = await client.connect(alice)
  const pings = (count: number) => socketOf(connection).write(Buffer.concat(Array(count).fill(frame(0x89, 5))))
  for (let sent = 0; sent < 4 * limits.pings.value; sent += limits.pings.value / 2) {
    pings(limits.pings.value / 2)
    assert.equal((await connection.cmd('ping', { ping: 'x' })).pong, 'x')
  }
  pings(10 * limits.pings.value)
  await connection.untilClosed(10_000)
})

test('a body of 1 MiB is read, and one of a byte more answered with 413 (02-organization-http §6.1)', async () => {
  const { alice } = await client.org()
  const url = `/anonymous/${alice.org}`
  const headers = { 'content-type': 'application/msgpack', 'api-version': '3.2' }
  const post = (bytes: number) => client.fetch(url, { method: 'POST', headers, body: Buffer.alloc(bytes, 0xc1) })
  assert.equal((await post(MIB)).status, 415)
  assert.equal((await post(MIB + 1)).status, 413)
})

test('a body may come in pieces, but not in as many as it has bytes', async () => {
  const { hostname, port } = new URL(cluster.url)
  const post = async (pieces: number) => {
    const socket = connect(Number(port), hostname)
    socket.on('error', () => {})
    socket.write('POST /anonymous/None HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n')
    socket.write(`${'1\r\nx\r\n'.repeat(pieces)}0\r\n\r\n`)
    const [answer] = (await once(socket, 'data')) as [Buffer]
    socket.destroy()
    return answer.toString().split('\r\n', 1)[0]
  }
  assert.equal(await post(limits.body_pieces.value), 'HTTP/1.1 404 Not Found')
  assert.equal(await post(4 * limits.body_pieces.value), 'HTTP/1.1 413 Payload Too Large')
})

test('requests may be sent ahead of the answer to the first, but not by the thousand', async () => {
  const { hostname, port } = new URL(cluster.url)
  /** How many of so many are answered before the connection is closed. */
  const answered = async (requests: number, last: string) => {
    const socket = connect(Number(port), hostname)
    socket.on('error', () => {})
    const get = 'GET /anonymous/None HTTP/1.1\r\nHost: x\r\n'
    socket.write(`${`${get}\r\n`.repeat(requests - 1)}${get}${last}\r\n`)
    let text = ''
    socket.on('data', data => {
      text += data
    })
    await once(socket, 'close')
    return text.split('HTTP/1.1 404 Not Found').length - 1
  }
  const most = limits.waiting_requests.value
  assert.equal(await answered(most, 'Connection: close\r\n'), most)
  assert.equal(await answered(1500, 'Connection: close\r\n'), 0)
})

test('a request line has at most 16 KiB, and then 431', async () => {
  const statusOf = (path: string) =>
    new Promise<number | undefined>((resolve, reject) => {
      const { hostname, port } = new URL(cluster.url)
      const sent = request({ host: hostname, port, path, agent: false }, response => {
        response.resume()
        resolve(response.statusCode)
      })
      sent.on('error', reject)
      sent.end()
    })
  assert.equal(await statusOf(`/${'x'.repeat(15 * KIB)}`), 404)
  assert.equal(await statusOf(`/${'x'.repeat(17 * KIB)}`), 431)
})

test('whoever begins a message and stalls is cut, known or not, whatever of it has come (DESIGN §11)', async () => {
  const end = CLIENT_SILENCE_MS + 20 * CLIENT_SWEEP_MS
  for (const connection of stalled) assert.equal(await connection.untilClosed(end), 1006)
})
