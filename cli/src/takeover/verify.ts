/**
 * Compares what was taken with its source, as that is now: rows and sums, certificates and their chains, who wrote what and
 * when, samples of blocks. Nothing is written on either side.
 */
import { withDeadline } from '@parsec/blockstore/stores/deadline'
import type { BlockStore } from '@parsec/blockstore/stores/store'
import { Uuid } from '@parsec/shared/codec/values'
import { BLOCK_COPY_MS } from '@parsec/shared/deadlines'
import { BulkSession } from '@parsec/shared/postgres/bulk'
import type { Target } from '@parsec/shared/postgres/target'
import { certificateDigests, checkCertificates, type Names, namesAt, OWN } from './chains.ts'
import { checkRows } from './checks.ts'
import { differences, type Measures, measureSource, measureTarget, type Place, sumOf } from './measure.ts'
import { PlaceFinder } from './places.ts'
import type { ImportReport } from './report.ts'
import { atoms, changes, meant, type Scope, scopeOf } from './scope.ts'
import { chooseFrom, Source } from './source.ts'

/** Blocks of an organization that are read. */
const SAMPLED = 20
/** Certificates that are told of. */
const TOLD = 3

export type VerifyOptions = {
  readonly from: Target
  readonly db: Target
  readonly silenceMs: number
  /** Empty: all. */
  readonly organizations: readonly string[]
  readonly report: ImportReport
  /** Of this server; null: no blocks are sampled. */
  readonly store: BlockStore | null
}

/** A difference refuses the organization. */
export async function verifyOrganizations(options: VerifyOptions): Promise<void> {
  const { from, db, silenceMs, organizations, report, store } = options
  await using source = await Source.open(from, silenceMs)
  await using session = await BulkSession.open(db, '--db', silenceMs)
  const chosen = await chooseFrom(source, organizations)
  const measures = await measureSource((text, values) => source.rows(text, values), source.level)
  const of = (organization: number): Measures => measures.get(organization) ?? {}
  report.begin(source, chosen.length, sumOf(chosen.map(({ key }) => sumOf(Object.values(of(key))))))
  await using reader = await source.reader()
  const places = new PlaceFinder((text, values) => source.rows(text, values), chosen)
  await session.run('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
  for (const { key, organization_id } of chosen) {
    const place = { level: source.level, organization: key, measures: of(key) }
    const flaws = await verifyOne({ reader, session, places }, place, { organization_id, store })
    const { rows, bytes } = sumOf(Object.values(place.measures))
    report.took(place.measures)
    report.moved(rows, bytes)
    if (flaws.length > 0) report.settle(organization_id, 'refused', flaws.join('; '))
    else report.settle(organization_id, 'checked')
  }
}

/** `reader` of the source, `session` of this server's database. */
type Both = { readonly reader: BulkSession; readonly session: BulkSession }

async function verifyOne(
  { reader, session, places }: Both & { places: PlaceFinder },
  before: Place,
  { organization_id, store }: { organization_id: string; store: BlockStore | null },
): Promise<string[]> {
  const [found] = await session.rows<{ key: number }>(
    'SELECT _id AS key FROM organization WHERE organization_id = $1',
    [organization_id],
  )
  if (!found) return ['is not in --db']
  const scope = await scopeOf(reader, before.organization, await places.of(before.organization))
  const leftOut = new Map<string, number>()
  for await (const { kind, table } of checkRows(reader, scope, before))
    if (kind === 'left_out') leftOut.set(table, (leftOut.get(table) ?? 0) + 1)
  const taken = await measureTarget(session, found.key)
  const after = { level: before.level, organization: found.key, measures: before.measures }
  const both = { reader, session }
  return [
    ...differences(before.measures, taken, leftOut, { withBlockData: (taken['block_data']?.rows ?? 0) > 0 }),
    ...(await compareCertificates(both, { before, after }, namesAt(scope))),
    ...(await compareWriters(both, scope, found.key, leftOut)),
    ...(store ? await sampleBlocks(session, store, { organization_id, organization: found.key }) : []),
  ]
}

/** The same certificates of and by the same people; and here they lead back to the root key, unless they never did. */
async function compareCertificates(
  { reader, session }: Both,
  { before, after }: { before: Place; after: Place },
  original: Names,
): Promise<string[]> {
  const theirs = await certificateDigests(reader, before, original)
  const ours = await certificateDigests(session, after, OWN)
  const differing = [...theirs].filter(([table, digest]) => ours.get(table) !== digest)
  const flaws = differing.map(([table]) => `certificates of ${table} differ, or who signed them`)
  const bad = await badCertificates(session, after, OWN)
  if (bad.size === 0) return flaws
  const known = await badCertificates(reader, before, original)
  const unknown = [...bad].filter(line => !known.has(line))
  if (unknown.length > 0)
    flaws.push(`${unknown.length} certificates do not verify here: ${unknown.slice(0, TOLD).join(', ')}`)
  return flaws
}
async function badCertificates(session: BulkSession, place: Place, names: Names): Promise<Set<string>> {
  const bad = new Set<string>()
  for await (const { table, row, why } of checkCertificates(session, place, names))
    bad.add(`${table} ${row.replace(/ \(_id \d+\)$/, '')} ${why}`)
  return bad
}

type Compared = {
  readonly table: string
  /** Rows as lines of text, in a column `line`. */
  readonly source: (scope: Scope) => string
  readonly target: (organization: number) => string
}
const instant = (column: string): string => `to_char(${meant(column)}, 'YYYYMMDDHH24MISSUS')`
const line = (...columns: readonly string[]): string => `concat_ws(' ', ${columns.join(', ')}) AS line`

const userLines = (organization: number): string => `
  SELECT ${line('user_.user_id', 'human.email', 'human.label', instant('user_.created_on'), instant('user_.revoked_on'))}
  FROM user_ LEFT JOIN human ON human._id = user_.human WHERE user_.organization = ${organization}`
const deviceLines = (organization: number): string => `
  SELECT ${line('device.device_id', 'user_.user_id', 'device.device_label', instant('device.created_on'))}
  FROM device JOIN user_ ON user_._id = device.user_ WHERE device.organization = ${organization}`
const blockLines = (organization: number): string => `
  SELECT ${line('block.block_id', 'realm.realm_id', 'block.size', 'device.device_id', instant('block.created_on'))}
  FROM block JOIN realm ON realm._id = block.realm JOIN device ON device._id = block.author
  WHERE block.organization = ${organization}`

const COMPARED: readonly Compared[] = [
  {
    table: 'user_',
    source: ({ organization }) => userLines(organization),
    target: userLines,
  },
  {
    table: 'device',
    source: ({ organization }) => deviceLines(organization),
    target: deviceLines,
  },
  {
    table: 'realm_role',
    source: ({ organization: o, roles }) => `
      SELECT ${line('realm.realm_id', 'user_.user_id', 'entry.role', instant('entry.certified_on'))}
      FROM realm JOIN ${roles} entry ON entry.realm = realm._id JOIN user_ ON user_._id = entry.user_
      WHERE realm.organization = ${o}`,
    target: o => `
      SELECT ${line('realm.realm_id', 'user_.user_id', 'entry.role', instant('entry.certified_on'))}
      FROM realm JOIN realm_role entry ON entry.realm = realm._id JOIN user_ ON user_._id = entry.user_
      WHERE realm.organization = ${o}`,
  },
  {
    table: 'vlob_atom',
    source: o => `
      SELECT ${line('entry.vlob_id', 'revision.encryption_revision', 'entry.version', 'octet_length(entry.blob)', 'device.device_id', instant('entry.created_on'))}
      FROM ${atoms(o)} JOIN device ON device._id = entry.author`,
    target: o => `
      SELECT ${line('vlob.vlob_id', 'entry.encryption_revision', 'entry.version', 'octet_length(entry.blob)', 'device.device_id', instant('entry.created_on'))}
      FROM vlob JOIN vlob_atom entry ON entry.vlob = vlob._id JOIN device ON device._id = entry.author
      WHERE vlob.organization = ${o}`,
  },
  {
    table: 'realm_change',
    source: o => `
      SELECT ${line('realm.realm_id', 'change.index', 'entry.vlob_id', 'entry.version')}
      FROM ${changes(o)} JOIN realm ON realm._id = change.realm JOIN (${atoms(o)}) ON entry._id = change.vlob_atom`,
    target: o => `
      SELECT ${line('realm.realm_id', 'change.index', 'vlob.vlob_id', 'change.version')}
      FROM realm JOIN realm_change change ON change.realm = realm._id JOIN vlob ON vlob._id = change.vlob
      WHERE realm.organization = ${o}`,
  },
  {
    table: 'block',
    source: ({ organization }) => blockLines(organization),
    target: blockLines,
  },
  {
    table: 'message',
    source: ({ organization: o, messages }) => `
      SELECT ${line('user_.user_id', 'device.device_id', instant('message.timestamp'), 'md5(message.body)')}
      FROM ${messages} message JOIN user_ ON user_._id = message.recipient JOIN device ON device._id = message.sender
      WHERE message.organization = ${o} AND user_.organization = ${o}`,
    target: o => `
      SELECT ${line('user_.user_id', 'message.sender', instant('message.timestamp'), 'md5(message.body)')}
      FROM user_ JOIN message ON message.recipient = user_._id WHERE user_.organization = ${o}`,
  },
]
/** Who did what, where and when, row by row; where rows were left out, counts must do. */
async function compareWriters(
  { reader, session }: Both,
  scope: Scope,
  organization: number,
  leftOut: ReadonlyMap<string, number>,
): Promise<string[]> {
  const flaws: string[] = []
  for (const { table, source, target } of COMPARED.filter(({ table }) => !leftOut.has(table))) {
    const [theirs, ours] = await Promise.all([
      sumOfLines(reader, source(scope)),
      sumOfLines(session, target(organization)),
    ])
    if (theirs !== ours) flaws.push(`${table}: rows differ in who made them, where or when`)
  }
  return flaws
}

/** Of digests, in any order; a sum needs no memory. */
async function sumOfLines(session: BulkSession, lines: string): Promise<string> {
  const [row] = await session.rows<{ sum: string }>(
    `SELECT count(*) || ' ' || coalesce(sum(('x' || left(md5(line), 15))::bit(60)::bigint), 0) AS sum FROM (${lines}) lines`,
  )
  return row!.sum
}

async function sampleBlocks(
  session: BulkSession,
  store: BlockStore,
  { organization_id, organization }: { organization_id: string; organization: number },
): Promise<string[]> {
  const blocks = await session.rows<{ block_id: string; size: number }>(
    `SELECT block_id::text, size FROM block WHERE organization = ${organization} AND deleted_on IS NULL ORDER BY md5(block_id::text) LIMIT ${SAMPLED}`,
  )
  const flaws: string[] = []
  for (const { block_id, size } of blocks)
    await withDeadline(null, BLOCK_COPY_MS, signal =>
      store.read(organization_id, Uuid.parse(block_id)!, { size, missedNodes: [] }, signal),
    ).catch(error => flaws.push(`block ${block_id}: ${(error as Error).message}`))
  return flaws
}
