/**
 * Many subscribers in many realms: what an update costs a gateway that has them all, for the event itself and for each
 * who hears it. The writer is at another gateway, so that the first one has nothing else to do.
 */
import { generateKeyPairSync } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import type { Uuid } from '@parsec/shared/codec/values'
import { threadsMs } from '../backends.ts'
import { query } from '../backing.ts'
import { connect, type Identity, signingKeyOf } from '../client.ts'
import type { Version } from '../crowd.ts'
import { createRealm, createVlob } from '../identity.ts'
import { freePort } from '../processes.ts'
import type { Row } from '../report.ts'
import { startSplit } from '../server.ts'
import { BLOB_BYTES } from '../stage.ts'
import { median } from '../statistics.ts'
import type { Play, Scenario } from './scenario.ts'

const SUBSCRIBERS = 10_000
const REALMS = 100
const EACH = SUBSCRIBERS / REALMS
/** Writers at once: a gateway that sleeps and wakes for each event would look dearer than it is. */
const WRITERS = 10
/** Of each, in a realm of which only one hears. Each waits for the events of all: no queue runs over. */
const UPDATES_TO_ONE = 50
const EVENT_BUDGET_US = 100
const DELIVERY_BUDGET_US = 20
const TURN_BUDGET_MS = 10
/** Node looks at the delay of its event loop this often, and counts it in. */
const RESOLUTION_MS = 10
const LOOK_EVERY_MS = 200
const AT_REST_MS = 20

export const crowd: Scenario = {
  name: 'crowd',
  about: `an update among ${SUBSCRIBERS} subscribers in ${REALMS} realms: processor time of the gateway`,
  run,
}

/** Those in realms of which many hear, as many at once as there are writers; and as many in the realm of which one hears. */
type Vlobs = { readonly shared: readonly (readonly string[])[]; readonly lonely: readonly string[] }
/** Microseconds: an event for one, who asks for the next; a delivery to one of many, and their asking again. */
type Costs = { one: number; delivery: number; asking: number; ping: number; turn: number }

async function run({ stage, settings, nodeOptions }: Play): Promise<Row[]> {
  const databaseUrl = await stage.databases.create('crowd', 'template')
  const monitorPort = await freePort()
  const server = await startSplit(databaseUrl, stage.natsUrl, { gateways: 2, monitorPort, nodeOptions })
  const [url, elsewhere] = server.wsUrls as [string, string]
  const { pid } = server.processes.gateway!
  const { author, load } = stage
  try {
    const { vlobs, identities } = await populate(databaseUrl, elsewhere, author)
    await load.run({ job: 'crowd: open', url, identities })

    const spent = async (work: () => Promise<unknown>): Promise<number> => {
      await atRest(pid)
      const before = threadsMs(pid)
      await work()
      await atRest(pid)
      return (threadsMs(pid) - before) * 1000
    }
    const state = { shared: 1, lonely: 1 }
    const tell = (steps: readonly (readonly Version[])[], deliveries: number, again = false) =>
      load.run({ job: 'crowd: tell', url: elsewhere, author, steps, deliveries, again })
    const measure = async (): Promise<Costs> => {
      const listen = () => spent(() => load.run({ job: 'crowd: listen' }))
      const asking = await listen()
      const toOne = Array.from({ length: UPDATES_TO_ONE }, () => {
        state.lonely++
        return vlobs.lonely.map(vlob => ({ vlob, version: state.lonely }))
      })
      const one = await spent(() => tell(toOne, WRITERS, true))
      state.shared++
      const toMany = vlobs.shared.map(some => some.map(vlob => ({ vlob, version: state.shared })))
      await longestTurnMs(monitorPort)
      const delivery = await spent(() => tell(toMany, WRITERS * EACH))
      const turns = [await longestTurnMs(monitorPort)]
      await listen()
      await longestTurnMs(monitorPort)
      const ping = await spent(() => tell([], SUBSCRIBERS))
      turns.push(await longestTurnMs(monitorPort))
      return {
        one: one / (UPDATES_TO_ONE * WRITERS),
        delivery: delivery / SUBSCRIBERS,
        asking: asking / SUBSCRIBERS,
        ping: ping / SUBSCRIBERS,
        turn: Math.max(...turns),
      }
    }
    await measure()
    const seen: Costs[] = []
    for (let round = 0; round < settings.rounds; round++) seen.push(await measure())
    return rowsOf(seen)
  } finally {
    await load.run({ job: 'crowd: close' })
    await server.stop()
    await stage.databases.drop('crowd')
  }
}

/** Realms of the author with a vlob each, and as many more users as are to listen. */
async function populate(
  databaseUrl: string,
  url: string,
  author: Identity,
): Promise<{ vlobs: Vlobs; identities: Identity[] }> {
  const wire = await connect(url, author, signingKeyOf(author))
  const realms: string[] = []
  const newVlob = async (realm_id: Uuid) => (await createVlob(wire, realm_id, Buffer.alloc(BLOB_BYTES))).hex
  const newRealm = async () => {
    const realm_id = await createRealm(wire, author)
    realms.push(realm_id.hex)
    return realm_id
  }
  const shared: string[][] = Array.from({ length: REALMS / WRITERS }, () => [])
  for (let n = 0; n < REALMS; n++) shared[n % shared.length]!.push(await newVlob(await newRealm()))
  const lonelyRealm = await newRealm()
  const lonely: string[] = []
  for (let n = 0; n < WRITERS; n++) lonely.push(await newVlob(lonelyRealm))
  wire.close()
  const pairs = Array.from({ length: SUBSCRIBERS }, () => generateKeyPairSync('ed25519'))
  const keys = pairs.map(({ publicKey }) => Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url'))
  await query(
    databaseUrl,
    `WITH author AS (SELECT * FROM device WHERE device_id = $1),
     users AS (
       INSERT INTO user_ (organization, user_id, folded_user_id, profile, user_certificate, redacted_user_certificate, user_certifier, created_on)
       SELECT organization, 's' || n, 's' || n, 'STANDARD', '\\x00', '\\x00', _id, now()
       FROM author, generate_series(1, ${SUBSCRIBERS}) AS n RETURNING *
     ), devices AS (
       INSERT INTO device (organization, user_, device_id, verify_key, device_certificate, redacted_device_certificate, device_certifier, created_on)
       SELECT organization, _id, user_id || '@pc', ($2::bytea[])[substr(user_id, 2)::int], '\\x00', '\\x00', user_certifier, now()
       FROM users
     )
     INSERT INTO realm_user (realm, user_, role, certified_on)
     SELECT realm._id, users._id, 'READER', now()
     FROM unnest($3::uuid[]) WITH ORDINALITY AS given (realm_id, place)
       JOIN realm USING (realm_id)
       JOIN users ON (substr(user_id, 2)::int - 1) / ${EACH} = place - 1 OR (place > ${REALMS} AND user_id = 's1')`,
    [author.device_id, keys, realms],
  )
  await query(databaseUrl, 'ANALYZE')
  const identities = pairs.map(({ privateKey }, i) => ({
    ...author,
    device_id: `s${i + 1}@pc`,
    signing_key: privateKey.export({ format: 'der', type: 'pkcs8' }),
  }))
  return { vlobs: { shared, lonely }, identities }
}

/** Resolves once the process has nothing to do. */
async function atRest(pid: number): Promise<void> {
  for (let before = threadsMs(pid); ; ) {
    await setTimeout(LOOK_EVERY_MS)
    const now = threadsMs(pid)
    if (now - before < AT_REST_MS) return
    before = now
  }
}

/** Since the last look, as the metrics of the process tell: in time, thus with whatever else the machine did meanwhile. */
async function longestTurnMs(monitorPort: number): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${monitorPort}/metrics`)).text()
  const seconds = /^nodejs_eventloop_lag_max_seconds(?:\{.*\})? (\S+)$/m.exec(metrics)?.[1]
  if (seconds === undefined) throw new Error('no metrics of the event loop')
  return Number(seconds) * 1000 - RESOLUTION_MS
}

function rowsOf(seen: readonly Costs[]): Row[] {
  const all = (name: keyof Costs) => seen.map(costs => costs[name])
  const row = (what: string, name: keyof Costs, unit: string, most: number, details: string[] = []): Row => {
    const value = name === 'turn' ? Math.min(...all(name)) : median(all(name))
    return {
      what: `crowd: ${what}`,
      measured: `${value.toFixed(1)} ${unit}`,
      ceiling: '',
      ratio: null,
      budget: `≤ ${most} ${unit}`,
      ok: value <= most,
      details: [
        `rounds ${all(name)
          .map(one => one.toFixed(1))
          .join(' ')}`,
        ...details,
      ],
      figures: { rounds: all(name) },
    }
  }
  const us = (name: keyof Costs) => `${median(all(name)).toFixed(1)} µs`
  return [
    row(`CPU of an update that 1 of ${SUBSCRIBERS} hears`, 'one', 'µs', EVENT_BUDGET_US),
    row(`CPU of each delivery, ${EACH} for an update`, 'delivery', 'µs', DELIVERY_BUDGET_US, [
      `asking for the next event ${us('asking')} each`,
    ]),
    row(`CPU of each delivery, ${SUBSCRIBERS} for a ping`, 'ping', 'µs', DELIVERY_BUDGET_US),
    row('longest turn of the event loop, in the quietest round', 'turn', 'ms', TURN_BUDGET_MS),
  ]
}
