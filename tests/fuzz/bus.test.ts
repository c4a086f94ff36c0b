/** Whoever is on the bus may send nonsense: every service goes on, and its clients are served. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { NatsBus } from '@parsec/shared/bus/nats'
import * as subjects from '@parsec/shared/bus/subjects'
import { type Encodable, encode } from '@parsec/shared/codec/msgpack'
import { Uuid } from '@parsec/shared/codec/values'
import { RemoteFailure, Unavailable } from '@parsec/shared/errors'
import type { Log } from '@parsec/shared/log'
import { SERVICE_NAMES } from '@parsec/shared/protocol/command'
import { internalRequests } from '@parsec/shared/protocol/internal'
import { commandsOf } from '@parsec/shared/protocol/registry'
import { clientOf } from '../harness/client.ts'
import { Cluster } from '../harness/launch.ts'

const log: Log = { debug() {}, info() {}, warning() {}, error() {}, critical() {}, child: () => log }
const TIMEOUT_MS = 10_000

const message = encode({ cmd: 'ping', ping: 'x' })
const asClient = (context: Encodable) => [1, encode(context), '0123456789abcdef', 5000, message]
const NONSENSE: readonly Buffer[] = [
  Buffer.alloc(0),
  Buffer.from([0xc1]),
  Buffer.from([0x95, 1]),
  Buffer.alloc(3000, 0x91),
  randomBytes(200),
  ...[
    ...[null, 1, 'x', [], {}, [1], [9, 5000, {}], [1, 5000], [1, 5000, null], [1, 5000, 'x'], [1, 5000, []]],
    // As services ask
    ...['soon', -1, 2 ** 40, 5000].map(msLeft => [1, msLeft, {}]),
    [1, 5000, { organization_id: {}, organization: 'x', context: null }],
    [1, 5000, { organization_id: 'Nowhere', organization: 2 ** 40, context: 3, token: 1, create: 'x', seen: 1 }],
    // As gateways forward
    ...[null, 1, {}, { kind: 'authenticated' }, { kind: 'x', organization_id: 3 }].map(asClient),
    [1, message, null, null, message],
    [1, null, 'x', 5000, 'x'],
  ].map(value => encode(value)),
]

/** Malformed, each in another way; some are told at once, others wait for those before them. */
const eventsOf = (organization_id: string, user_id: string): Encodable[] => {
  const places = [1, 7, 9, -1, 2 ** 50, 'x']
  // Each of a realm of its own, so that each waits for those that it seems to follow.
  const fields = () => [
    { event: 'realm.vlobs_updated', realm_id: Uuid.random() },
    { event: 'realm.roles_updated', realm_id: Uuid.random(), role: 'OWNER' },
    { event: 'message.received', index: 5 },
    { event: 'nothing' },
    {},
    null,
  ]
  const recipients = [
    { to: 'realm' },
    { to: 'users' },
    { to: 'users', user_ids: [3, null] },
    { to: 'users', user_ids: [user_id] },
    { to: 'organization' },
    { to: 'x' },
    null,
  ]
  const controls = ['user.revoked', 'invitation.deleted', 'invite.conduit_updated', 'enrollment.claimed', 'x', null]
  const id = () => randomBytes(8).toString('hex')
  return [
    ...places.flatMap(place =>
      recipients.flatMap(to =>
        fields().map(field => ({ id: id(), organization_id, recipients: to, fields: field, place })),
      ),
    ),
    ...controls.map(control => ({ id: id(), organization_id, control: { control } })),
    { id: id(), organization_id, control: null },
  ]
}

test('nonsense on every subject of the bus: it is refused, everybody goes on', { timeout: 120_000 }, async t => {
  const cluster = await Cluster.start({ topology: 'cluster' })
  const client = clientOf(cluster)
  const bus = await NatsBus.connect({ url: cluster.nats!.url, name: 'fuzz', log })
  try {
    const { id, alice } = await client.org()
    const listening = await client.connect(alice)
    await listening.ok('events_subscribe')
    const { token } = await listening.ok('invite_new', { type: 'DEVICE', send_email: false })
    const claimer = await client.open({ invited: { organization_id: id, invitation_type: 'DEVICE', token } })

    const served = [
      ...SERVICE_NAMES.flatMap(service => commandsOf(service).map(({ name }) => subjects.command(service, name))),
      ...Object.entries(internalRequests).map(([name, { service }]) => subjects.internal(service, name)),
      subjects.command('metadata', 'nothing'),
      subjects.internal('metadata', 'nothing'),
    ]
    let refused = 0
    for (const subject of served)
      await Promise.all(
        NONSENSE.map(payload =>
          bus.request(subject, payload, { timeoutMs: TIMEOUT_MS }).catch(error => {
            assert.ok(error instanceof Unavailable || error instanceof RemoteFailure, String(error))
            refused++
          }),
        ),
      )
    t.diagnostic(`${refused} of ${served.length * NONSENSE.length} requests refused`)

    for (const event of eventsOf(id, alice.user_id))
      for (const subject of [subjects.clientEvents(id), subjects.controlEvents(id)]) bus.publish(subject, encode(event))
    const heard = [subjects.presence, subjects.rollCall, ...SERVICE_NAMES.map(subjects.roll)]
    for (const subject of [...heard, subjects.clientEvents(id), subjects.controlEvents(id), ...served.slice(0, 3)])
      for (const payload of [...NONSENSE, encode({ card: { service: 'gateway' } }), encode({ card: null })])
        for (const place of [subject, `${subject}.caller`]) bus.publish(place, payload)
    await bus.flush()
    for (const name of ['gateway-1', 'gateway-2', 'gateway-3']) {
      const connection = await clientOf(cluster, cluster.process(name).url).connect(alice)
      await connection.ok('events_subscribe')
      assert.equal((await connection.cmd('invite_list')).status, 'ok')
      await connection.close()
    }
    await claimer.close()
    for (const server of cluster.processes.values())
      assert.ok(server.isRunning && (await server.isReady()), server.output)
  } finally {
    await bus.drain()
    await client.end()
    await cluster.stop()
  }
})
