/** Hostile frames at a live gateway: every one is answered or refused as the specification says, and nobody else notices. */
import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { test } from 'node:test'
import { Connection, clientOf, Ext, Float, pack, show, Time, Uuid, unpack } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'
import { Random } from './random.ts'

/** A sixth of what the commands get. */
const SECONDS = Number(process.env.FUZZ_SECONDS ?? 60) / 6
const HANDSHAKES = 500
const CONNECTIONS = 8
/** Frames between two marks, by which the replies are told to be complete. */
const BATCH = 20
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024

test('hostile frames: no crash, a reply or a close for each, others undisturbed', {
  timeout: (SECONDS + 120) * 1000,
}, async t => {
  const seed = randomInt(2 ** 31)
  t.diagnostic(`seed ${seed}`)
  const random = new Random(seed)
  const cluster = await Cluster.start({ topology: 'single' })
  const client = clientOf(cluster)
  try {
    const { alice } = await client.org()
    const owner = await client.connect(alice)
    const realm_id = await client.realm(owner, alice)
    const note = await client.vlob(owner, realm_id)
    const other = await client.org()
    const witness = await client.connect(other.alice)
    await witness.ok('events_subscribe')
    const frames = new Frames(random, realm_id, note.vlob_id)

    const counts = { sent: 0, replies: 0 }
    const end = performance.now() + SECONDS * 1000
    const bystander = watch(owner, note, end)
    const attackers = await Promise.all(Array.from({ length: CONNECTIONS }, () => client.connect(alice)))
    await Promise.all(
      attackers.map(async attacker => {
        while (performance.now() < end) {
          counts.sent += BATCH
          const replies = await batch(
            attacker,
            Array.from({ length: BATCH }, () => frames.next()),
          )
          counts.replies += replies
        }
      }),
    )
    await bystander
    for (let i = 0; i < HANDSHAKES; i++) await hostileHandshake(client, frames)
    for (const length of [MAX_MESSAGE_BYTES + 1, MAX_MESSAGE_BYTES * 2]) {
      const sender = await client.connect(alice)
      sender.send(Buffer.alloc(length))
      assert.equal(await sender.untilClosed(30_000), 1009)
    }

    t.diagnostic(`${counts.sent} frames, ${counts.replies} replies`)
    assert.ok(counts.replies > counts.sent / 2)
    assert.ok(cluster.process('server').isRunning, cluster.output)
    assert.doesNotMatch(cluster.output, /Unexpected crash/)
    // The witness of another organization was told nothing and is still served.
    assert.equal((await witness.cmd('events_listen', { wait: false })).status, 'no_events')
  } finally {
    await client.end()
    await cluster.stop()
  }
})

/** Sends frames and a mark; returns how many replies came before the mark's. */
async function batch(attacker: Connection, frames: readonly (Buffer | string)[]): Promise<number> {
  for (const frame of frames) attacker.send(frame)
  const mark = randomBytes(12).toString('hex')
  attacker.send(pack({ cmd: 'ping', ping: mark }))
  for (let replies = 0; ; replies++) {
    const reply = await attacker.next(60_000).catch(error => {
      throw new Error(
        `${error.message} after one of ${frames.map(f => (typeof f === 'string' ? f : f.toString('hex').slice(0, 400))).join(' ')}`,
      )
    })
    const map = unpack(reply as Buffer)
    if (map.pong === mark) return replies
    assert.equal(typeof map.status, 'string', show(map))
    // A cancelled command has no reply; all others have one.
    assert.ok(replies <= frames.length, 'more replies than frames')
  }
}

/** A client of the same gateway that goes on with its work. */
async function watch(owner: Connection, note: { vlob_id: Uuid; blob: Buffer }, end: number): Promise<void> {
  while (performance.now() < end) {
    const read = await owner.ok('vlob_read', {
      encryption_revision: 1,
      vlob_id: note.vlob_id,
      version: 1,
      timestamp: null,
    })
    assert.ok(note.blob.equals(read.blob))
  }
}

/** Any answer to the challenge but a true one ends in a result that is not ok, and a close. */
async function hostileHandshake(client: ReturnType<typeof clientOf>, frames: Frames): Promise<void> {
  const socket = await Connection.socket(client.url)
  const result = unpack((await socket.raw(frames.answer())) as Buffer)
  assert.equal(result.handshake, 'result')
  assert.match(String(result.result), /^(bad_protocol|bad_identity)$/)
  await socket.untilClosed()
}

class Frames {
  readonly #random: Random
  readonly #commands: readonly { [field: string]: unknown }[]
  constructor(random: Random, realm_id: Uuid, vlob_id: Uuid) {
    this.#random = random
    const timestamp = Time.now()
    this.#commands = [
      { cmd: 'ping', ping: 'x' },
      { cmd: 'events_subscribe' },
      { cmd: 'events_listen', wait: false },
      { cmd: 'organization_config' },
      { cmd: 'user_get', user_id: 'alice' },
      { cmd: 'human_find', query: 'a', omit_revoked: false, omit_non_human: false, page: 1, per_page: 100 },
      { cmd: 'message_get', offset: 0 },
      { cmd: 'realm_create', role_certificate: Buffer.alloc(80) },
      { cmd: 'realm_status', realm_id },
      { cmd: 'realm_update_roles', role_certificate: Buffer.alloc(200), recipient_message: null },
      {
        cmd: 'vlob_create',
        realm_id,
        encryption_revision: 1,
        vlob_id,
        timestamp,
        blob: Buffer.alloc(20),
        sequester_blob: null,
      },
      { cmd: 'vlob_update', encryption_revision: 1, vlob_id, timestamp, version: 9, blob: Buffer.alloc(20) },
      { cmd: 'vlob_read', encryption_revision: 1, vlob_id, version: null, timestamp: null },
      { cmd: 'vlob_poll_changes', realm_id, last_checkpoint: 0 },
      { cmd: 'vlob_list_versions', vlob_id },
      { cmd: 'block_create', block_id: new Uuid(), realm_id: new Uuid(), block: Buffer.alloc(30) },
      { cmd: 'block_read', block_id: new Uuid() },
      { cmd: 'user_revoke', revoked_user_certificate: Buffer.alloc(100) },
      { cmd: 'device_create', device_certificate: Buffer.alloc(90), redacted_device_certificate: Buffer.alloc(90) },
    ]
  }

  next(): Buffer | string {
    const int = (below: number) => this.#random.int(below)
    switch (int(8)) {
      case 0:
        return this.#random.bytes(int(64))
      case 1:
        return this.#truncated()
      case 2:
      case 3:
        return this.#flipped()
      case 4:
      case 5:
        return this.#wrongTypes()
      case 6:
        return this.#monster()
      default:
        return int(20) === 0 ? `text ${int(1000)}` : this.#wrongTypes()
    }
  }
  /** An answer to the challenge. */
  answer(): Buffer {
    const answer = {
      handshake: 'answer',
      type: this.#random.of(['AUTHENTICATED', 'authenticated', 'INVITED', 'x']),
      client_api_version: this.#random.of<unknown>([[3, 2], [2, 4], [9, 9], [], 'x']),
      organization_id: this.#random.of<unknown>(['Nowhere', 3, '']),
      device_id: this.#random.of<unknown>(['alice@dev1', 'alice', null]),
      rvk: this.#random.bytes(32),
      answer: this.#random.bytes(this.#random.int(200)),
    }
    const bytes = pack(answer)
    return this.#random.int(2) ? bytes : this.#flip(bytes)
  }

  #command(): { [field: string]: unknown } {
    return { ...this.#random.of(this.#commands) }
  }
  #truncated(): Buffer {
    const bytes = pack(this.#command())
    return bytes.subarray(0, this.#random.int(bytes.length))
  }
  #flipped(): Buffer {
    return this.#flip(pack(this.#command()))
  }
  #flip(bytes: Buffer): Buffer {
    for (let i = this.#random.int(4); i >= 0; i--) bytes[this.#random.int(bytes.length)] = this.#random.int(256)
    return bytes
  }
  #wrongTypes(): Buffer {
    const command = this.#command()
    const fields = Object.keys(command)
    command[this.#random.of(fields)] = this.#value(0)
    if (this.#random.int(3) === 0) command[`extra${this.#random.int(10)}`] = this.#value(0)
    return pack(command)
  }
  #value(depth: number): unknown {
    switch (this.#random.int(depth > 3 ? 10 : 12)) {
      case 0:
        return null
      case 1:
        return this.#random.int(2) === 0
      case 2:
        return this.#random.int(2 ** 31) * (this.#random.int(2) ? 1 : -1)
      case 3:
        return new Float(this.#random.of([0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 1e300]))
      case 4:
        return this.#random.bytes(this.#random.int(40))
      case 5:
        return this.#random.of(['', '\0', 'é'.repeat(40), 'OWNER', '../x', 'a@b', "'; DROP TABLE user_; --"])
      case 6:
        return new Uuid()
      case 7:
        return Time.now()
      case 8:
        return new Ext(this.#random.int(128), this.#random.bytes(this.#random.int(20)))
      case 9:
        return Number.MAX_SAFE_INTEGER
      case 10:
        return Array.from({ length: this.#random.int(5) }, () => this.#value(depth + 1))
      default:
        return { a: this.#value(depth + 1), __proto__x: this.#value(depth + 1) }
    }
  }
  /** Deep, wide or lying: what would cost a naive decoder its memory or its stack. */
  #monster(): Buffer {
    switch (this.#random.int(5)) {
      case 0:
        return Buffer.alloc(this.#random.int(5000), 0x91)
      case 1:
        return Buffer.concat([Buffer.from('81a3636d64', 'hex'), Buffer.alloc(900, 0x91), Buffer.from([0xc0])])
      case 2:
        return Buffer.from(`dd00ffffff${'dd00ffffff'.repeat(this.#random.int(20))}`, 'hex')
      case 3:
        return Buffer.from('dfffffffff', 'hex')
      default:
        return Buffer.concat([Buffer.from('c6ffffffff', 'hex'), this.#random.bytes(10)])
    }
  }
}
