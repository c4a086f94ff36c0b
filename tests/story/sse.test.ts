/** Server-sent events while commands come over RPC and WebSocket at once: each event arrives, once and in order. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import { clientOf, type Device, pack, type Reply, Time, Uuid, unpack } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'

/** Versions that each of the two writers adds. */
const VERSIONS = 150
const DATA = /^data:([A-Za-z0-9+/]+={0,2})$/

const cluster = await Cluster.start({ topology: 'cluster' })
const client = clientOf(cluster)
after(async () => {
  await client.end()
  await cluster.stop()
})

const httpOf = (gateway: string): string => cluster.process(gateway).url.replace('ws', 'http')
const base64 = (bytes: Uint8Array | string): string => Buffer.from(bytes as Uint8Array).toString('base64')
const signedHeaders = (device: Device, body: Buffer) => ({
  authorization: 'PARSEC-SIGN-ED25519',
  author: base64(device.device_id),
  signature: base64(device.key.signature(body)),
  'api-version': '3.4',
})

/** The events of a stream, for as long as the caller reads. */
async function* events(device: Device, signal: AbortSignal): AsyncGenerator<Reply> {
  const response = await fetch(`${httpOf('gateway-1')}/authenticated/${device.org}/events`, {
    headers: { ...signedHeaders(device, Buffer.alloc(0)), accept: 'text/event-stream' },
    signal,
  })
  assert.equal(response.status, 200)
  assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/)
  const pending = { text: '' }
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    const frames = (pending.text + chunk).split('\n\n')
    pending.text = frames.pop()!
    for (const frame of frames) {
      if (frame.startsWith(':')) continue
      const data = DATA.exec(frame)
      assert.ok(data, `a frame of events: ${frame}`)
      yield unpack(Buffer.from(data[1]!, 'base64'))
    }
  }
}

async function rpc(device: Device, cmd: string, fields: object): Promise<Reply> {
  const body = pack({ cmd, ...fields })
  const response = await fetch(`${httpOf('gateway-2')}/authenticated/${device.org}`, {
    method: 'POST',
    headers: { ...signedHeaders(device, body), 'content-type': 'application/msgpack' },
    body: new Uint8Array(body),
  })
  assert.equal(response.status, 200)
  return unpack(Buffer.from(await response.arrayBuffer()))
}

test('a stream tells of what is done over RPC and WebSocket at once (02 §8)', async () => {
  const { alice } = await client.org()
  const socket = await client.connect(alice, { api: [3, 4] })
  const phone = await client.device(socket, alice)
  const realm_id = await client.realm(socket, alice)
  const abort = new AbortController()
  const stream = events(phone, abort.signal)

  // A stream that is open hears the pings; from then on nothing may be missed.
  const opening = stream.next()
  const first = { seen: false }
  const opened = opening.then(({ value }) => {
    first.seen = true
    assert.equal(value.event, 'pinged')
  })
  while (!first.seen) await socket.ok('ping', { ping: 'open' })
  await opened

  const written = new Map<string, Uuid>()
  const write = async (send: (cmd: string, fields: object) => Promise<Reply>) => {
    const vlob_id = new Uuid()
    written.set(`${vlob_id}`, vlob_id)
    for (let version = 1; version <= VERSIONS; version++) {
      const content = { encryption_revision: 1, vlob_id, timestamp: Time.now(), blob: randomBytes(64) }
      const reply =
        version === 1
          ? await send('vlob_create', { realm_id, ...content })
          : await send('vlob_update', { version, ...content })
      assert.equal(reply.status, 'ok')
    }
  }
  const writing = Promise.all([
    write((cmd, fields) => rpc(alice, cmd, fields)),
    write((cmd, fields) => socket.cmd(cmd, { ...fields })),
  ])
  const heard: { checkpoint: number; id: string; version: number }[] = []
  while (heard.length < 2 * VERSIONS) {
    const { value: event, done } = await stream.next()
    assert.ok(!done, 'the stream goes on')
    if (event.event === 'pinged') continue
    assert.equal(event.event, 'realm.vlobs_updated')
    assert.ok(realm_id.equals(event.realm_id))
    heard.push({ checkpoint: event.checkpoint, id: `${event.src_id}`, version: event.src_version })
  }
  await writing
  assert.deepEqual(
    heard.map(({ checkpoint }) => checkpoint),
    heard.map((_, i) => i + 1),
  )
  for (const id of written.keys())
    assert.deepEqual(
      heard.filter(event => event.id === id).map(({ version }) => version),
      Array.from({ length: VERSIONS }, (_, i) => i + 1),
    )

  // Commands of either kind go on while the stream is open, and its end disturbs nobody.
  const message = await rpc(alice, 'ping', { ping: 'over RPC' })
  assert.deepEqual(message, { status: 'ok', pong: 'over RPC' })
  const last = await stream.next()
  assert.deepEqual([last.value.event, last.value.ping], ['pinged', 'over RPC'])
  abort.abort()
  await assert.rejects(stream.next())
  await socket.ok('ping', { ping: 'after' })
})
