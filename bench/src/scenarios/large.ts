/** One realm as large as they get: polled from the beginning, and re-encrypted from its first version to its last. */
import { randomBytes } from 'node:crypto'
import { type Encodable, encode, type Value } from '@parsec/shared/codec/msgpack'
import { DateTime, type Uuid } from '@parsec/shared/codec/values'
import { query } from '../backing.ts'
import { connect, expectOk, signingKeyOf, type Wire } from '../client.ts'
import { bootstrapOrganization, createRealm } from '../identity.ts'
import type { Row } from '../report.ts'
import { ADMINISTRATION_TOKEN, migrate, startOneProcess } from '../server.ts'
import { median } from '../statistics.ts'
import type { Play, Scenario } from './scenario.ts'

const VLOBS = 10_000
const VERSIONS = 200
const CHANGES = VLOBS * VERSIONS
const POLLS = 7
const POLL_BUDGET_MS = 300
/** Of a re-encryption; so many batches are measured at each place. */
const BATCH = 500
const BATCHES = 15
const PLACES = [0, 0.5, 0.99]
const BATCH_BUDGET = 1.5

export const large: Scenario = {
  name: 'large',
  about: 'a realm of two million changes: polled from 0, and re-encrypted',
  run: async ({ stage: { databases } }: Play) => {
    const databaseUrl = await databases.create('large')
    await migrate(databaseUrl)
    const server = await startOneProcess(databaseUrl)
    try {
      const author = await bootstrapOrganization(server.httpUrl, ADMINISTRATION_TOKEN, 'Large')
      const wire = await connect(server.wsUrls[0]!, author, signingKeyOf(author))
      const realm_id = await createRealm(wire, author)
      for (const statement of fill(realm_id)) await query(databaseUrl, statement)
      return [await poll(wire, realm_id), await reencrypt(wire, databaseUrl, realm_id)]
    } finally {
      await server.stop()
      await databases.drop('large')
    }
  },
}

/** Version after version of each vlob in turn, as they would have been written. */
const fill = (realm_id: Uuid): string[] => [
  `INSERT INTO vlob (organization, vlob_id, realm, version, timestamp, changed)
   SELECT organization, gen_random_uuid(), _id, ${VERSIONS}, now(), ${CHANGES - VLOBS} + n
   FROM realm, generate_series(1, ${VLOBS}) AS n WHERE realm_id = '${realm_id.hex}'`,
  `INSERT INTO vlob_atom (vlob, encryption_revision, version, blob, size, author, created_on)
   SELECT vlob._id, 1, n, '\\x00', 1, (SELECT min(_id) FROM device), now()
   FROM generate_series(1, ${VERSIONS}) AS n, vlob`,
  `INSERT INTO realm_change (realm, index, vlob, version, size)
   SELECT vlob.realm, vlob.changed - (${VERSIONS} - n) * ${VLOBS}, vlob._id, n, 1
   FROM generate_series(1, ${VERSIONS}) AS n, vlob`,
  `UPDATE realm SET checkpoint = ${CHANGES} WHERE realm_id = '${realm_id.hex}'`,
  'VACUUM ANALYZE',
]

async function ask(wire: Wire, request: { cmd: string } & { readonly [field: string]: Encodable }) {
  wire.send(encode(request))
  return expectOk(await wire.receive()) as { [key: string]: Value }
}
async function times(count: number, work: () => Promise<unknown>): Promise<number> {
  const all: number[] = []
  for (let n = 0; n < count; n++) {
    const startedAt = performance.now()
    await work()
    all.push(performance.now() - startedAt)
  }
  return median(all)
}

async function poll(wire: Wire, realm_id: Uuid): Promise<Row> {
  const ms = await times(POLLS, () => ask(wire, { cmd: 'vlob_poll_changes', realm_id, last_checkpoint: 0 }))
  return {
    what: `large: ${VLOBS} vlobs with ${CHANGES} changes polled from 0`,
    measured: `${ms.toFixed(0)} ms`,
    ceiling: '',
    ratio: null,
    budget: `≤ ${POLL_BUDGET_MS} ms`,
    ok: ms <= POLL_BUDGET_MS,
    details: [],
    figures: { ms },
  }
}

async function reencrypt(wire: Wire, databaseUrl: string, realm_id: Uuid): Promise<Row> {
  const startedAt = performance.now()
  await ask(wire, {
    cmd: 'realm_start_reencryption_maintenance',
    realm_id,
    encryption_revision: 2,
    timestamp: DateTime.now(),
    per_participant_message: { author: randomBytes(10) },
  })
  const startMs = performance.now() - startedAt
  const medians: number[] = []
  for (const place of PLACES) {
    await query(databaseUrl, skipTo(realm_id, Math.floor(CHANGES * place)))
    await query(databaseUrl, 'VACUUM ANALYZE vlob_atom')
    medians.push(await times(BATCHES, () => oneBatch(wire, realm_id)))
  }
  const ratio = Math.max(...medians) / medians[0]!
  return {
    what: `large: a batch of ${BATCH} in the re-encryption of ${CHANGES} versions`,
    measured: medians.map(ms => `${ms.toFixed(0)} ms`).join(', '),
    ceiling: `at ${PLACES.map(place => `${place * 100} %`).join(', ')} of the work`,
    ratio,
    budget: `≤ ${BATCH_BUDGET}`,
    ok: ratio <= BATCH_BUDGET,
    details: [`realm_start_reencryption_maintenance ${startMs.toFixed(0)} ms`],
    figures: { medians, startMs },
  }
}
async function oneBatch(wire: Wire, realm_id: Uuid): Promise<void> {
  const common = { realm_id, encryption_revision: 2 }
  const { batch } = await ask(wire, { cmd: 'vlob_maintenance_get_reencryption_batch', ...common, size: BATCH })
  await ask(wire, { cmd: 'vlob_maintenance_save_reencryption_batch', ...common, batch: batch as Encodable })
}
/** As if all batches up to that change had been saved. */
const skipTo = (realm_id: Uuid, index: number): string => `
  WITH saved AS (
    INSERT INTO vlob_atom (vlob, encryption_revision, version, blob, size, author, created_on)
    SELECT change.vlob, 2, change.version, '\\x00', 1, (SELECT min(_id) FROM device), now()
    FROM realm JOIN realm_change change ON change.realm = realm._id
    WHERE realm_id = '${realm_id.hex}' AND change.index > reencrypted_up_to AND change.index <= ${index}
    ON CONFLICT DO NOTHING RETURNING size
  )
  UPDATE realm SET reencrypted = reencrypted + (SELECT count(*) FROM saved), reencrypted_up_to = greatest(reencrypted_up_to, ${index})
  WHERE realm_id = '${realm_id.hex}'`
