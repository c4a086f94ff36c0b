/** Whoever is cut by a limit finds in the log which one, and its figure; the client is told with a code; all ends are counted. */
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { after, test } from 'node:test'
import { CUTS, limitKeys } from '@parsec/shared/cuts'
import { type Limit, limits } from '@parsec/shared/limits'
import { Connection, clientOf, pack } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'

const cluster = await Cluster.start({ topology: 'single' })
const client = clientOf(cluster)
after(async () => {
  await client.end()
  await cluster.stop()
})

const server = cluster.process([...cluster.processes.keys()][0]!)
const heard: string[] = []
server.hear(text => void heard.push(text))
const { alice } = await client.org()
const known = () => client.connect(alice)
const stranger = () => Connection.socket(cluster.url)
/** A client that writes frames, whose mask is zero, all at once. */
const writing = async (frames: Buffer[]): Promise<Connection> => {
  const connection = await known()
  const socket = Reflect.get(connection.ws, '_socket') as Socket
  socket.write(Buffer.concat(frames))
  return connection
}
const frame = (opcode: number, payload: Buffer) =>
  Buffer.concat([Buffer.from([opcode, 0x80 | payload.length, 0, 0, 0, 0]), payload])
const times = (count: number, one: Buffer) => Array<Buffer>(count).fill(one)
const PING = frame(0x89, Buffer.from('hello'))

/** The most that a connection may, and one more. */
const ENDS: { [reason: string]: { limit: Limit; code: number; exceed: () => Promise<Connection> } } = {
  'too many pings at once': {
    limit: limits.pings,
    code: 1008,
    exceed: () => writing(times(10 * limits.pings.value, PING)),
  },
  'too many messages at once': {
    limit: limits.waiting_messages,
    code: 1008,
    exceed: () => writing(times(3 * limits.waiting_messages.value, frame(0x82, pack({ cmd: 'ping', ping: 'x' })))),
  },
  'too many frames in one message': {
    limit: limits.message_frames,
    code: 1008,
    exceed: () =>
      writing([frame(0x02, Buffer.from('x')), ...times(limits.message_frames.value, frame(0, Buffer.from('x')))]),
  },
  'too many events unread': {
    limit: limits.queued_events,
    code: 1000,
    exceed: async () => {
      const connection = await known()
      await connection.ok('events_subscribe')
      const other = await client.connect(await client.device(await known(), alice, 'other'))
      for (let n = 0; n <= limits.queued_events.value; n++) await other.ok('ping', { ping: `${n}` })
      return connection
    },
  },
}
const LARGE: { limit: Limit; open: () => Promise<Connection> }[] = [
  { limit: limits.handshake_message, open: stranger },
  { limit: limits.message, open: known },
  {
    limit: limits.unauthenticated_message,
    open: () => client.open({ anonymous: { organization_id: alice.org }, api: [1, 3] } as never),
  },
]

for (const [reason, { limit, code, exceed }] of Object.entries(ENDS))
  test(`${reason}: the log has the limit, the client ${code}, the metrics one more`, async () => {
    assert.deepEqual(limitKeys(reason), { limit: limit.what, most: limit.value })
    const connection = await exceed()
    assert.equal(await connection.untilClosed(10_000), code)
    await isLogged(reason, limit)
  })
for (const { limit, open } of LARGE)
  test(`too large: ${limit.what}`, async () => {
    const connection = await open()
    connection.send(Buffer.alloc(limit.value + 1))
    assert.equal(await connection.untilClosed(20_000), 1009)
    await isLogged('message too large', limit)
  })
test('each reason that names a limit names one of docs/limits.md', () => {
  const all = new Set<string>(Object.values(limits).map(({ what }) => what))
  for (const reason of CUTS) assert.ok(all.has(limitKeys(reason).limit!), reason)
})

async function isLogged(reason: string, limit: Limit): Promise<void> {
  const isLine = (line: string) =>
    [/warning/i, 'Connection dropped: closed by the server', reason, limit.what, String(limit.value)].every(part =>
      typeof part === 'string' ? line.includes(part) : part.test(line),
    )
  while (!heard.join('').split('\n').some(isLine)) await new Promise(setImmediate)
  const metrics = await (await fetch(`http://127.0.0.1:${server.monitorPort}/metrics`)).text()
  assert.match(metrics, new RegExp(`^parsec_connections_ended_total\\{.*reason="${reason}".*\\} [1-9]`, 'm'))
}
