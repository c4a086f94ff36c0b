/** One server of two workers: they are one server to clients, to administrators, and to whoever starts and stops it. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { Api } from '../administration/api.ts'
import { type Connection, clientOf, type Device, eventually, Time, Uuid } from '../harness/client.ts'
import { ADMINISTRATION_TOKEN, Cluster } from '../harness/launch.ts'
import { claim, greet, Peer, untilDone } from '../story/exchange.ts'

const WORKERS = [1, 2] as const
type Number = (typeof WORKERS)[number]

const cluster = await Cluster.start({
  topology: 'workers',
  flags: ['--drain-seconds=1', '--db-max-connections=9', '--log-format=JSON'],
})
const server = cluster.process('server')
const client = clientOf(cluster)
after(async () => {
  await client.end()
  await cluster.stop()
})
await ready()
const { id: organization_id, alice } = await client.org()
const owner = await client.connect(alice)
const realm_id = await client.realm(owner, alice)

const phone = await client.device(owner, alice)

type Line = { event: string; worker?: Number; pid?: number; [key: string]: unknown }
/** What the server logged about itself: the harness keeps the end only, and there are lines of requests. */
const journal: { lines: Line[]; rest: string } = { lines: [], rest: '' }
function note(text: string): void {
  const whole = (journal.rest + text).split('\n')
  journal.rest = whole.pop()!
  for (const line of whole)
    if (/"event":"(?:Worker|Administration tokens)/.test(line)) journal.lines.push(JSON.parse(line) as Line)
}
const lines = () => journal.lines
note(server.output)
server.hear(note)
const pidOf = (worker: Number): number =>
  lines().findLast(line => line.event === 'Worker serves' && line.worker === worker)!.pid!

async function metrics(): Promise<string> {
  return (await fetch(`http://127.0.0.1:${server.monitorPort}/metrics`)).text()
}
async function connectionsOf(worker: Number): Promise<number> {
  return Number(new RegExp(`^parsec_connections\\{worker="${worker}"\\} (\\d+)$`, 'm').exec(await metrics())?.[1])
}
async function readyPage(): Promise<{ ready: boolean; detail: { [key: string]: string } }> {
  return (await fetch(`http://127.0.0.1:${server.monitorPort}/readyz`)).json() as never
}
/** Until both workers serve. */
async function ready(): Promise<void> {
  await until('both workers serve', async () => {
    const { ready, detail } = await readyPage()
    return ready && !Object.keys(detail).some(key => key.endsWith('process'))
  })
}
async function until(what: string, isSo: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + 60_000
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`never came true: ${what}\n${server.output}`)
    await pause(20)
  }
}
/** A connection to that worker: the system decides who gets one, so it is asked again and again. */
async function on(worker: Number, open: () => Promise<Connection>): Promise<Connection> {
  for (;;) {
    const before = await connectionsOf(worker)
    const connection = await open()
    if ((await connectionsOf(worker)) > before) return connection
    await connection.close()
  }
}
const device = (worker: Number, author: Device = alice) => on(worker, () => client.connect(author))
const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test('what happens on one worker is told on the other', async () => {
  const [listener, writer] = [await device(1, phone), await device(2)]
  await listener.ok('events_subscribe')
  const { vlob_id } = await client.vlob(writer, realm_id)
  await eventually(listener, event => event.event === 'realm.vlobs_updated' && vlob_id.equals(event.src_id))
  assert.equal((await writer.ok('ping', { ping: 'hello' })).pong, 'hello')
})

test('greeter and claimer meet, whichever workers they are on (04-invite §8)', async () => {
  const greeter = await device(1)
  const { token } = await greeter.ok('invite_new', { type: 'DEVICE', send_email: false })
  const invited = { organization_id, invitation_type: 'DEVICE' as const, token }
  const greeting = new Peer(() => device(1), { token })
  const claiming = new Peer(() => on(2, () => client.open({ invited })))
  await Promise.all([greeting.connect()])
  await claiming.connect()
  const greeted = { peer: greeting, author: alice, token, type: 'DEVICE' as const, client }
  const [device_id, claimed] = await Promise.all([
    untilDone(() => greet(greeted)),
    untilDone(() => claim(claiming, organization_id, 'DEVICE', '')),
  ])
  assert.equal(claimed.device_id, device_id)
})

test('a revocation on one worker ends the sessions on the other', async () => {
  const bob = await client.user(owner, alice, 'bob')
  const [first, second] = [await device(1, bob), await device(2, bob)]
  const ended = Promise.all([first.untilClosed(), second.untilClosed()])
  assert.equal((await client.revoke(owner, alice, 'bob')).status, 'ok')
  await ended
})

test('administrators see both workers, and can cut connections of each', async () => {
  const api = await Api.open(client.http, ADMINISTRATION_TOKEN)
  const { services, unanswered } = await api.ok('listServices')
  assert.deepEqual(
    services.map(({ service }: { service: string }) => service),
    ['admin', 'blockstore', 'gateway', 'metadata'].flatMap(name => [name, name]),
  )
  assert.deepEqual(unanswered, [])
  const carol = await client.user(owner, alice, 'carol')
  const both = [await device(1, carol), await device(2, carol)]
  const { connections } = await api.ok('listConnections', { organization_id, user_id: 'carol' })
  assert.equal(connections.length, 2)
  for (const { conn_id } of connections) await api.ok('cutConnection', { conn_id })
  await Promise.all(both.map(connection => connection.untilClosed()))
})

test('the connections to the database are shared out, and one page tells of both workers', async () => {
  const { detail } = await readyPage()
  assert.deepEqual([detail['worker 1 database'], detail['worker 2 database']], ['connected', 'connected'])
  const text = await metrics()
  for (const worker of WORKERS) assert.match(text, new RegExp(`^parsec_ready\\{worker="${worker}"\\} 1$`, 'm'))
  assert.equal(text.match(/^# TYPE parsec_requests_total /gm)!.length, 1)
  assert.match(text, /^parsec_events_total\{event="[\w.]+",worker="\d"\} [1-9]/m)
  const [{ count }] = (await cluster.database!.query<{ count: string }>(
    `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'parsec%'`,
  )) as [{ count: string }]
  assert.ok(Number(count) <= 9, `${count} connections`)
})

test('SIGHUP reaches all workers', async () => {
  const told = () => lines().filter(line => line.event === 'Administration tokens reloaded')
  server.signal('SIGHUP')
  await until('both have read their files again', () => told().length >= 2)
  assert.deepEqual(
    told()
      .map(line => line.worker)
      .sort(),
    [1, 2],
  )
})

test('a worker is killed under load: nothing acknowledged is lost, the others go on, and it is replaced', async () => {
  const bystander = await device(2)
  const victim = pidOf(1)
  const over = new AbortController()
  const written: { vlob_id: Uuid; versions: number; unknown: boolean }[] = []
  /** Who comes at the moment of the death is reset, and comes again. */
  const comeBack = (): ReturnType<typeof client.connect> => client.connect(alice).catch(() => comeBack())
  const write = async (worker: Number) => {
    const vlob_id = new Uuid()
    const state = { vlob_id, versions: 0, unknown: false }
    written.push(state)
    let connection = await device(worker)
    while (!over.signal.aborted) {
      const fields = { encryption_revision: 1, vlob_id, timestamp: Time.now(), blob: randomBytes(100) }
      const version = state.versions + 1
      try {
        const { status } = await (version === 1
          ? connection.cmd('vlob_create', { realm_id, ...fields })
          : connection.cmd('vlob_update', { version, ...fields }))
        // What was not answered may have been done.
        assert.ok(status === 'ok' || (state.unknown && /^(?:bad_version|already_exists)$/.test(status)), status)
        state.versions = version
        state.unknown = false
      } catch (error) {
        if (error instanceof assert.AssertionError) throw error
        state.unknown = true
        connection = await comeBack()
      }
    }
  }
  const writing = [1, 1, 1, 2, 2].map(worker => write(worker as Number))
  const versions = () => written.reduce((sum, state) => sum + state.versions, 0)
  await until('the load runs', () => written.length === 5 && written.every(state => state.versions > 20))
  process.kill(victim, 'SIGKILL')
  const before = versions()
  await until('it was replaced', () => pidOf(1) !== victim)
  await until('the load goes on', () => versions() > before + 100)
  over.abort()
  await Promise.all(writing)
  const reader = await client.connect(alice)
  for (const { vlob_id, versions } of written) {
    const read = { encryption_revision: 1, vlob_id, version: versions, timestamp: null }
    assert.equal((await reader.cmd('vlob_read', read)).status, 'ok')
  }
  const ended = lines().filter(line => line.event === 'Worker ended')
  assert.deepEqual(
    ended.map(({ worker, reason }) => [worker, reason]),
    [[1, 'SIGKILL']],
  )
  assert.equal((await bystander.ok('ping', { ping: 'still here' })).pong, 'still here')
  const listener = await device(2, phone)
  await listener.ok('events_subscribe')
  const { vlob_id } = await client.vlob(await device(1), realm_id)
  await eventually(listener, event => event.event === 'realm.vlobs_updated' && vlob_id.equals(event.src_id), 20_000)
})

test('a worker that hangs is ended and replaced, and the others do not wait for it longer', async () => {
  const hanging = pidOf(2)
  const writer = await device(1)
  process.kill(hanging, 'SIGSTOP')
  await client.vlob(writer, realm_id)
  await until('it was replaced', () => pidOf(2) !== hanging)
  const { reason } = lines().findLast(line => line.event === 'Worker ended')!
  assert.equal(reason, 'it does not answer')
  await ready()
  const { vlob_id } = await client.vlob(await device(2), realm_id)
  const read = { encryption_revision: 1, vlob_id, version: null, timestamp: null }
  assert.equal((await writer.ok('vlob_read', read)).version, 1)
  await until('the outbox is empty', async () => (await cluster.database!.query('SELECT FROM outbox')).length === 0)
})

test('SIGTERM drains all workers, and none stays', async () => {
  const connections = [await device(1), await device(2)]
  const closed = Promise.all(connections.map(connection => connection.untilClosed()))
  const pids = WORKERS.map(pidOf)
  await server.end('SIGTERM')
  assert.deepEqual(await closed, [1012, 1012])
  assert.equal(server.exitCode, 0)
  assert.deepEqual(pids.filter(isAlive), [])
  assert.match(server.output, /bye ;-\)/)
  assert.deepEqual(
    lines().filter(line => line.event === 'Worker did not stop in order'),
    [],
  )
})

test('SIGTERM before the second worker serves is no trouble', async () => {
  const starting = await Cluster.start({ topology: 'workers' })
  const process = starting.process('server')
  await process.end('SIGTERM')
  await starting.stop()
  assert.equal(process.exitCode, 0, process.output)
  assert.doesNotMatch(process.output, /Worker did not stop in order/)
})

test('without the process that watches them, workers end by themselves', async () => {
  await server.start()
  note(server.output)
  server.hear(note)
  await ready()
  const pids = WORKERS.map(pidOf)
  server.signal('SIGKILL')
  await until('both are gone', () => !pids.some(isAlive))
})
