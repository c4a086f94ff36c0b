/**
 * Requests of every command by every kind of client, made from the protocol table: no internal error, no reply outside
 * its command, no turn of the event loop over 200 ms, memory back to where it was. `FUZZ_SECONDS` (60) is how long.
 */
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { Uuid } from '@parsec/shared/codec/values'
import { limits } from '@parsec/shared/limits'
import type { CommandSpec } from '@parsec/shared/protocol/command'
import { everyCommand } from '@parsec/shared/protocol/registry'
import {
  type Connection,
  clientOf,
  type Device,
  type Reply,
  show,
  unpack,
  type Uuid as WireUuid,
} from '../harness/client.ts'
import { ADMINISTRATION_TOKEN, Cluster } from '../harness/launch.ts'
import { Random } from './random.ts'
import { Requests, type World } from './requests.ts'

const SECONDS = Number(process.env.FUZZ_SECONDS ?? 60)
const MAX_STALL_SECONDS = 0.2
/** Slow moments that are looked into, the worst ones, and how often a frame must be slow to be the cause. */
const MAX_SUSPECTS = 3
const REPEATS = 3
/** Heap and buffers that may come between the second and the last quarter. */
const MAX_GROWTH_BYTES = 48 * 1024 * 1024
/** Commands that wait for somebody: sent by a connection of their own, which then leaves. */
const waits = ({ service, name }: CommandSpec): boolean => service === 'gateway' && name !== 'events_subscribe'
const LEAVE_AFTER_MS = 20
/** `ok` replies with more than one set of fields. */
const FORMS: { readonly [name: string]: number } = {
  invite_info: 3,
  pki_enrollment_info: 4,
  pki_enrollment_list: 2,
  organization_create: 2,
}
/** Clients without an identity may send less. */
const TOO_BIG = 1009
/** A client that does not listen to its events. */
const QUEUE_FULL = {
  code: 1000,
  reasons: ['too many events unread', 'too many bytes of events unread', 'events of all clients unread'],
}
/** What closes a connection of an invited client when somebody deletes its invitation. */
const MAY_END = new Set(['invited'])

type Sent = { caller: Caller; frame: Buffer }
type Caller = { name: string; specs: readonly CommandSpec[]; open: () => Promise<Connection>; requests: Requests }

test('every command, by every kind of client: answered within its schema, quickly, without a trace', {
  timeout: (SECONDS + 120) * 1000,
}, async t => {
  const seed = Number(process.env.FUZZ_SEED ?? randomInt(2 ** 31))
  t.diagnostic(`seed ${seed}`)
  const cluster = await Cluster.start({ topology: 'single', flags: ['--spontaneous-organization-bootstrap'] })
  const client = clientOf(cluster)
  const server = cluster.process('server')
  try {
    const callers = await prepare(client, new Random(seed))
    const replies = new Replies()
    const watch = new Watch(server.monitorPort)
    server.hear(text => watch.heard(text))
    await watch.look()
    const end = performance.now() + SECONDS * 1000
    const suspects: { lag: number; sent: Sent[] }[] = []
    const looking = (async () => {
      while (performance.now() < end) {
        await pause(500)
        const sent = watch.takeSent()
        const lag = await watch.look()
        if (lag > MAX_STALL_SECONDS) suspects.push({ lag, sent })
      }
    })()
    await Promise.all([looking, ...callers.map(caller => attack(caller, end, replies, watch))])

    t.diagnostic(
      `${replies.count} replies, statuses ${[...replies.statuses].sort().join(' ')}; ${suspects.length} slow moments`,
    )
    // Each of them is counted, and the log says so.
    const counted = await watch.overflowsCounted()
    assert.ok(
      watch.overflows <= counted,
      `${watch.overflows} connections were closed, ${counted} of them for unread events`,
    )
    assert.equal(watch.isOverflowTold, counted > 0)
    const unanswered = everyCommand.filter(spec => !waits(spec) && !replies.commands.has(spec.name))
    assert.deepEqual(
      unanswered.map(({ name }) => name),
      [],
    )
    suspects.sort((a, b) => b.lag - a.lag)
    for (const { sent } of suspects.slice(0, MAX_SUSPECTS)) assert.deepEqual(await stalling(sent, server.pid), [])
    const growth = watch.growth()
    t.diagnostic(`${Math.round(growth / 2 ** 20)} MiB more heap and buffers`)
    assert.ok(growth < MAX_GROWTH_BYTES, `heap and buffers grew by ${growth} bytes`)
    assert.ok(server.isRunning, cluster.output)
    assert.doesNotMatch(cluster.output, /Unexpected crash/)
  } finally {
    await client.end()
    await cluster.stop()
  }
})

/** An organization with people of each profile, and a caller for each way in. */
async function prepare(client: ReturnType<typeof clientOf>, random: Random): Promise<Caller[]> {
  const { id, alice } = await client.org()
  const founder = await client.connect(alice)
  const bob = await client.user(founder, alice, 'bob')
  const carol = await client.user(founder, alice, 'carol', { profile: 'OUTSIDER' })
  const realm = await client.realm(founder, alice)
  const { vlob_id } = await client.vlob(founder, realm)
  const uuid = (wire: WireUuid) => Uuid.fromBytes(wire.bytes)
  const world: World = {
    realms: [uuid(realm)],
    vlobs: [uuid(vlob_id)],
    others: [],
    strangers: [],
    members: ['alice', 'bob', 'carol'],
    organizations: ['FuzzA', 'FuzzB', 'FuzzC'],
  }
  const caller = (name: string, era: 'v1' | 'v2', kind: string, author: Device, open: Caller['open']): Caller => ({
    name,
    specs: everyCommand.filter(spec => spec.callers[era]?.some(one => one === kind)),
    open,
    requests: new Requests(random, world, author),
  })
  /** Others of these callers delete invitations, also between the two steps. */
  const invited = async (): Promise<Connection> => {
    const { token } = await founder.ok('invite_new', { type: 'DEVICE', send_email: false })
    world.others.push(uuid(token))
    try {
      return await client.open({ invited: { organization_id: id, invitation_type: 'DEVICE', token } })
    } catch (error) {
      // Before the handshake, or in the middle of it.
      if (/Invitation already deleted|connection closed \(1000\)/.test((error as Error).message)) return invited()
      throw error
    }
  }
  const authenticated = (device: Device, api: readonly [number, number]) => () => client.connect(device, { api })
  return [
    caller('alice', 'v2', 'authenticated', alice, authenticated(alice, [3, 4])),
    caller('alice again', 'v2', 'authenticated', alice, authenticated(alice, [2, 8])),
    caller('bob', 'v2', 'authenticated', bob, authenticated(bob, [3, 2])),
    caller('carol', 'v2', 'authenticated', carol, authenticated(carol, [2, 5])),
    caller('alice v1', 'v1', 'authenticated', alice, authenticated(alice, [1, 2])),
    caller('anonymous v1', 'v1', 'anonymous', alice, () => client.open({ anonymous: { organization_id: id } })),
    caller('administration', 'v1', 'administration', alice, () =>
      client.open({ administration: { token: ADMINISTRATION_TOKEN } }),
    ),
    caller('invited', 'v2', 'invited', alice, invited),
    caller('anonymous', 'v2', 'anonymous', alice, async () => overHttp(client, id)),
  ]
}

/** An anonymous client of today, which has no connection. */
const overHttp = (client: ReturnType<typeof clientOf>, id: string): Connection =>
  ({
    closed: false,
    async raw(body: Uint8Array) {
      const headers = { 'content-type': 'application/msgpack', 'api-version': '3.2' }
      const response = await fetch(`${client.http}/anonymous/${id}`, {
        method: 'POST',
        headers,
        body: Buffer.from(body),
      })
      const bytes = Buffer.from(await response.arrayBuffer())
      assert.ok([200, 413, 415, 429].includes(response.status), `HTTP ${response.status}`)
      return response.status === 200 ? bytes : ''
    },
    close: async () => {},
  }) as unknown as Connection

async function attack(caller: Caller, end: number, replies: Replies, watch: Watch): Promise<void> {
  const { requests, specs } = caller
  let connection = await caller.open()
  // Nobody listens to the events, so that the queue overflows and the connection is closed (01-wire §10.4).
  let isSubscribed = false
  for (let n = 0; performance.now() < end; n++) {
    const spec = specs[n % specs.length]!
    const frame = requests.next(spec)
    watch.sent({ caller, frame })
    if (waits(spec)) {
      if (n % 10 !== 0) continue
      const visitor = await caller.open()
      visitor.raw(frame, 60_000).catch(() => {})
      await pause(LEAVE_AFTER_MS)
      await visitor.close()
      continue
    }
    if (connection.closed) {
      connection = await caller.open()
      isSubscribed = false
    }
    isSubscribed ||= spec.name === 'events_subscribe'
    try {
      replies.take(spec, await connection.raw(frame, 60_000))
    } catch (error) {
      if (MAY_END.has(caller.name) && connection.closed) continue
      if (isSubscribed && connection.code === QUEUE_FULL.code) {
        watch.overflows++
        continue
      }
      if (connection.code === TOO_BIG && frame.length > limits.unauthenticated_message.value) continue
      throw new Error(
        `${caller.name}, ${spec.name}: ${(error as Error).message} after ${frame.toString('hex', 0, 2000)}`,
      )
    }
  }
  await connection.close()
}

const GENERIC = ['ok', 'bad_message', 'invalid_msg_format', 'unknown_command']
/** What was answered, checked against the protocol table. */
class Replies {
  count = 0
  readonly statuses = new Set<string>()
  readonly commands = new Set<string>()
  readonly #forms = new Map<string, Set<string>>()

  take(spec: CommandSpec, bytes: Buffer | string): void {
    this.commands.add(spec.name)
    if (typeof bytes === 'string') return assert.equal(bytes, '')
    const reply = unpack(bytes)
    this.count++
    this.statuses.add(reply.status)
    // A damaged message may ask for another command.
    const isOther = !GENERIC.includes(reply.status) && !spec.statuses.includes(reply.status)
    if (isOther)
      assert.ok(
        everyCommand.some(({ statuses }) => statuses.includes(reply.status)),
        `${spec.name}: ${show(reply)}`,
      )
    this.#checkFields(spec, reply)
    if (reply.status !== 'ok') assert.ok(bytes.length < 8192, `${spec.name}: a refusal of ${bytes.length} bytes`)
  }
  #checkFields(spec: CommandSpec, reply: Reply): void {
    const has = (...fields: string[]) =>
      assert.ok(
        fields.every(field => field in reply),
        `${spec.name}: ${show(reply)}`,
      )
    if (reply.status !== 'ok') assert.ok(['string', 'undefined'].includes(typeof reply.reason), show(reply))
    if (reply.status === 'bad_message') has('errors')
    if (reply.status === 'invalid_certification') has('reason')
    if (reply.status === 'require_greater_timestamp') has('strictly_greater_than')
    if (reply.status === 'bad_timestamp')
      has('ballpark_client_early_offset', 'ballpark_client_late_offset', 'backend_timestamp', 'client_timestamp')
    if (reply.status !== 'ok') return
    const forms = this.#forms.get(spec.name) ?? new Set()
    this.#forms.set(spec.name, forms.add(Object.keys(reply).sort().join(' ')))
    assert.ok(forms.size <= (FORMS[spec.name] ?? 1), `${spec.name}: ${[...forms].join(' | ')}`)
  }
}

/** The server's own account of its event loop and memory. */
class Watch {
  readonly #url: string
  readonly #memory: number[] = []
  #sent: Sent[] = []
  /** Connections that were closed as if their queue had overflowed. */
  overflows = 0
  /** Whether the log speaks of one. */
  isOverflowTold = false
  #output = ''
  constructor(port: number) {
    this.#url = `http://127.0.0.1:${port}/metrics`
  }
  sent(what: Sent): void {
    this.#sent.push(what)
  }
  takeSent(): Sent[] {
    const sent = this.#sent
    this.#sent = []
    return sent
  }
  heard(text: string): void {
    const lines = (this.#output + text).split('\n')
    this.#output = lines.pop()!
    this.isOverflowTold ||= QUEUE_FULL.reasons.some(reason => lines.some(line => line.includes(reason)))
  }
  /** How many connections the server closed for unread events. */
  async overflowsCounted(): Promise<number> {
    const text = await (await fetch(this.#url)).text()
    const ends = [...text.matchAll(/^parsec_connections_ended_total\{reason="([^"]*)".*\} (\d+)$/gm)]
    return ends
      .filter(([, reason]) => QUEUE_FULL.reasons.includes(reason!))
      .reduce((sum, [, , count]) => sum + Number(count), 0)
  }
  /** The longest turn since the last look, in seconds. */
  async look(): Promise<number> {
    const text = await (await fetch(this.#url)).text()
    const value = (name: string) => Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (.*)$`, 'm').exec(text)?.[1])
    this.#memory.push(value('nodejs_heap_size_used_bytes') + value('nodejs_external_memory_bytes'))
    const longest = value('nodejs_eventloop_lag_max_seconds')
    assert.ok(Number.isFinite(longest) && Number.isFinite(this.#memory.at(-1)!), text)
    return longest
  }
  /** What stays when the collector has been there: the least of a quarter. */
  growth(): number {
    const size = Math.floor(this.#memory.length / 4)
    const least = (quarter: number) => Math.min(...this.#memory.slice(quarter * size, (quarter + 1) * size))
    return least(3) - least(1)
  }
}

/**
 * Which of these frames cost the server's main thread so long, each time that they are sent alone. Its processor time
 * counts, not the clock: a machine that is busy elsewhere makes every turn of the loop long.
 */
async function stalling(sent: readonly Sent[], pid: number): Promise<string[]> {
  const slow: string[] = []
  for (const { caller, frame } of sent) {
    const cost = async () => {
      const visitor = await caller.open()
      const before = mainThreadSeconds(pid)
      await Promise.race([visitor.raw(frame, 60_000).catch(() => {}), pause(LEAVE_AFTER_MS * 10)])
      const seconds = mainThreadSeconds(pid) - before
      await visitor.close()
      return seconds
    }
    let stalls = 0
    while (stalls < REPEATS && (await cost()) > MAX_STALL_SECONDS) stalls++
    if (stalls === REPEATS) slow.push(`${caller.name}: ${frame.toString('hex', 0, 400)}`)
  }
  return slow
}
/** The system counts in hundredths of a second. */
const TICKS_PER_SECOND = 100
function mainThreadSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/task/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}
