/** Takes over the organizations of an old server, one transaction each (spec 07 §1). */
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { BlockStore } from '@parsec/blockstore/stores/store'
import { CONDUITS, RECOUNTS } from '@parsec/metadata/storage/recount'
import { OperatorError } from '@parsec/shared/errors'
import { BulkSession } from '@parsec/shared/postgres/bulk'
import type { Target } from '@parsec/shared/postgres/target'
import { copyBlocks } from './blocks.ts'
import { checkCertificates, namesAt } from './chains.ts'
import { checkRows, isDoubledMessage } from './checks.ts'
import type { Finding, Found } from './finding.ts'
import { differences, type Measures, measureSource, measureTarget, NONE, sumOf } from './measure.ts'
import { copyPeople, type Defaults, type Sessions } from './people.ts'
import { PlaceFinder } from './places.ts'
import type { ImportReport } from './report.ts'
import { type Scope, scopeOf } from './scope.ts'
import { chooseFrom, Source, type SourceOrganization } from './source.ts'
import { type Origin, tablesAt } from './tables.ts'
import { findPresent, type Present, recordImport, reserveKeys } from './target.ts'

/** Organizations at once. */
const WORKERS = 3
/** Findings of an organization that are kept: one that is that broken needs no complete list. */
const MAX_FINDINGS = 10_000

const UNCOPIED = 'their contents are in the database of the source: --copy-blocks writes them to --blockstore'
const UNREACHABLE = 'its name is not composed (NFC), as clients have sent it since v2.3: nobody could enter it here'

export type ImportOptions = {
  readonly from: Target
  readonly db: Target
  /** For which either database may be silent while it is waited for. */
  readonly silenceMs: number
  /** Empty: all. */
  readonly organizations: readonly string[]
  readonly dryRun: boolean
  readonly skipVerification: boolean
  /** What becomes of contents of blocks in the source's database. */
  readonly blockData: { kind: 'copy' } | { kind: 'leave' } | { kind: 'store'; store: BlockStore; name: string }
  readonly defaults: Defaults
  readonly report: ImportReport
}

export async function importOrganizations(options: ImportOptions): Promise<void> {
  await using source = await Source.open(options.from, options.silenceMs)
  await new Import(source, options).run()
}

class Import {
  readonly #source: Source
  readonly #options: ImportOptions
  #measures = new Map<number, Measures>()
  #present: Present = { organizations: new Set(), records: new Map() }
  #base = 0

  constructor(source: Source, options: ImportOptions) {
    this.#source = source
    this.#options = options
  }

  async run(): Promise<void> {
    const { report } = this.#options
    const chosen = await chooseFrom(this.#source, this.#options.organizations)
    await this.#prepare(chosen)
    this.#measures = await measureSource((text, values) => this.#source.rows(text, values), this.#source.level)
    report.begin(this.#source, chosen.length, sumOf(chosen.map(({ key }) => sumOf(Object.values(this.#of(key))))))
    await this.#work(chosen)
  }

  async #prepare(chosen: readonly SourceOrganization[]): Promise<void> {
    const { db, dryRun, silenceMs } = this.#options
    await using session = await BulkSession.open(db, '--db', silenceMs)
    this.#present = await findPresent(
      session,
      chosen.map(({ organization_id }) => organization_id),
    )
    this.#refusePresent()
    if (!dryRun) this.#base = await reserveKeys(session)
  }
  #refusePresent(): void {
    const foreign = [...this.#present.organizations].filter(id => !this.#present.records.get(id)?.isComplete).sort()
    if (foreign.length > 0)
      throw new OperatorError(
        `organizations of these names are in --db already, and no import brought them; take others with --organization, or delete these first:\n${foreign.join('\n')}`,
      )
  }

  /** A failure ends all of it. */
  async #work(chosen: readonly SourceOrganization[]): Promise<void> {
    const queue = chosen.values()
    const places = new PlaceFinder((text, values) => this.#source.rows(text, values), chosen)
    const stopping = { failed: false }
    const { db, silenceMs } = this.#options
    const worker = async () => {
      await using reader = await this.#source.reader()
      await using writer = await BulkSession.open(db, '--db', silenceMs)
      try {
        for (const organization of queue) {
          if (stopping.failed) return
          await this.#one({ reader, writer, places }, organization)
        }
      } catch (error) {
        stopping.failed = true
        throw error
      }
    }
    const ends = await Promise.allSettled(Array.from({ length: Math.min(WORKERS, chosen.length) }, worker))
    const failure = ends.find(end => end.status === 'rejected')
    if (failure) throw failure.reason
  }

  async #one(
    { reader, writer, places }: Sessions & { places: PlaceFinder },
    { key, organization_id }: SourceOrganization,
  ): Promise<void> {
    const { report, dryRun, skipVerification } = this.#options
    const record = this.#present.records.get(organization_id)
    const size = sumOf(Object.values(this.#of(key)))
    if (record?.isComplete) {
      report.moved(size.rows, size.bytes)
      return report.settle(organization_id, 'skipped')
    }
    const scope = await scopeOf(reader, key, await places.of(key))
    const findings = await this.#check(reader, scope, organization_id)
    report.findings(organization_id, findings)
    const broken = findings.filter(({ kind }) => kind === 'broken' || (kind === 'certificate' && !skipVerification))
    if (broken.length > 0) {
      report.moved(size.rows, size.bytes)
      const remedy = broken.every(({ kind }) => kind === 'certificate') ? '; --skip-verification takes it as it is' : ''
      return report.settle(
        organization_id,
        'refused',
        `${broken.length} findings, the first: ${broken[0]!.table} ${broken[0]!.row}: ${broken[0]!.why}${remedy}`,
      )
    }
    if (dryRun) {
      report.moved(size.rows, size.bytes)
      report.took(this.#of(key))
      return report.settle(organization_id, 'checked')
    }
    const origin: Origin = {
      ...scope,
      level: this.#source.level,
      organization_id,
      base: this.#base,
      hasDoubledMessages: findings.some(isDoubledMessage),
    }
    if (!(await this.#copy(reader, writer, origin, findings))) return report.settle(organization_id, 'skipped')
    report.settle(organization_id, 'taken')
  }

  async #check(reader: BulkSession, scope: Scope, organization_id: string): Promise<Finding[]> {
    const findings: Finding[] = []
    const { organization } = scope
    const place = { level: this.#source.level, organization, measures: this.#of(organization) }
    const add = (found: Found) => {
      if (findings.length < MAX_FINDINGS) findings.push({ organization_id, ...found })
    }
    if (organization_id !== organization_id.normalize('NFC'))
      add({ kind: 'broken', table: 'organization', row: organization_id, why: UNREACHABLE })
    const contents = place.measures['block_data']
    if (contents && this.#options.blockData.kind === 'leave')
      add({ kind: 'left_out', table: 'block_data', row: `${contents.rows} blocks`, why: UNCOPIED })
    for await (const found of checkRows(reader, scope, place)) add(found)
    for await (const found of checkCertificates(reader, place, namesAt(scope))) add(found)
    return findings
  }

  /** False when another import has brought it meanwhile. */
  async #copy(
    reader: BulkSession,
    writer: BulkSession,
    origin: Origin,
    findings: readonly Finding[],
  ): Promise<boolean> {
    const { blockData, defaults, report } = this.#options
    const { organization, organization_id, level, base } = origin
    const measures = this.#of(organization)
    const source = this.#source.place
    const size = sumOf(Object.values(measures))
    let done = NONE
    const moved = (rows: number, bytes: number) => {
      done = sumOf([done, { rows, bytes }])
      report.moved(rows, bytes)
    }
    if (blockData.kind === 'store' && measures['block_data'])
      await copyBlocks({ reader, writer, store: blockData.store }, origin, {
        // What is in another store has to come again.
        source: `${source} to ${blockData.name}`,
        record: this.#present.records.get(organization_id),
        onBlock: bytes => moved(1, bytes),
      })
    await writer.run('BEGIN')
    if (!(await recordImport(writer, { organization_id, source, measures }))) {
      await writer.run('ROLLBACK')
      return false
    }
    const people = await copyPeople({ reader, writer }, origin, defaults)
    moved(
      Object.values(people).reduce((sum, rows) => sum + rows, 0),
      0,
    )
    for (const { table, into, query } of tablesAt(level)) {
      if (!isNeeded(table, measures) || (table === 'block_data' && blockData.kind !== 'copy')) continue
      // An import with --copy-blocks that did not come to its end has left some.
      if (table === 'block_data')
        await writer.run('DELETE FROM block_data WHERE organization_id = $1', [organization_id])
      const rows = await stream(reader, query(origin), writer, into, bytes => moved(0, bytes))
      moved(rows, 0)
    }
    for (const statement of [CONDUITS, ...RECOUNTS]) await writer.run(statement, [organization + base])
    const taken = await measureTarget(writer, organization + base)
    const leftOut = new Map(
      [
        ...Map.groupBy(
          findings.filter(({ kind }) => kind === 'left_out'),
          ({ table }) => table,
        ),
      ].map(([table, list]) => [table, list.length]),
    )
    const differing = differences(measures, taken, leftOut, { withBlockData: blockData.kind === 'copy' })
    if (differing.length > 0)
      throw new OperatorError(
        `${organization_id} did not arrive as it is in the source, nothing of it was written: ${differing.join('; ')}`,
      )
    await writer.run('COMMIT')
    // Tables are sent in another form than they were measured in.
    report.moved(size.rows - done.rows, size.bytes - done.bytes)
    report.took(taken)
    return true
  }

  #of(organization: number): Measures {
    return this.#measures.get(organization) ?? {}
  }
}

/** The number of rows that went from one database into the other. */
async function stream(
  reader: BulkSession,
  query: string,
  writer: BulkSession,
  into: string,
  onBytes: (bytes: number) => void,
): Promise<number> {
  const rows = reader.read(query)
  const meter = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      onBytes(chunk.length)
      done(null, chunk)
    },
  })
  await pipeline(rows, meter, writer.write(into))
  return rows.rowCount
}

/** Whether the source has rows that a table is made of. */
const isNeeded = (table: string, measures: Measures): boolean =>
  measures[table === 'realm_user' ? 'realm' : table] !== undefined
