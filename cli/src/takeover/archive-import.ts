/** An organization from a file that an export made. Everything is staged first; nothing shows before the last digest fits. */
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { BlockStore } from '@parsec/blockstore/stores/store'
import { BELONGINGS } from '@parsec/metadata/storage/belongings'
import { CONDUITS, RECOUNTS } from '@parsec/metadata/storage/recount'
import { Uuid } from '@parsec/shared/codec/values'
import { OperatorError } from '@parsec/shared/errors'
import { BulkSession } from '@parsec/shared/postgres/bulk'
import type { Target } from '@parsec/shared/postgres/target'
import { ahead } from './ahead.ts'
import { columnsOf } from './archive-export.ts'
import { ArchiveReader, type Head } from './archive-file.ts'
import { copyBlock } from './blocks.ts'
import { reserveKeys } from './target.ts'

const ID_BYTES = 16

export type ArchiveImport = {
  readonly path: string
  readonly db: Target
  readonly silenceMs: number
  readonly store: BlockStore | null
  readonly dryRun: boolean
}
export type Taken = { organization_id: string; rows: { readonly [table: string]: number }; blocks: number }

export async function importArchive(options: ArchiveImport): Promise<Taken> {
  await using archive = await ArchiveReader.open(options.path)
  await using session = await BulkSession.open(options.db, '--db', options.silenceMs)
  return await take(archive, session, options)
}

async function take(
  archive: ArchiveReader,
  session: BulkSession,
  { path, store, dryRun }: ArchiveImport,
): Promise<Taken> {
  const head = await archive.head()
  if (head.section !== 'archive') throw new OperatorError(`--from: ${path} does not begin as an archive`)
  for await (const _ of archive.pieces());
  const { organization_id, level } = head
  await refuse(session, head, store)
  const base = dryRun ? 0 : await reserveKeys(session)
  await session.run('BEGIN')
  const staged = new Map<string, readonly string[]>()
  for (;;) {
    const next = await archive.head()
    if (next.section === 'rows') staged.set(next.table, await stage(archive, session, next))
    else if (next.section === 'blocks') {
      if (!dryRun) await insertAll(session, staged, base)
      await takeBlocks(archive, organization_id, dryRun ? null : store)
    } else if (next.section === 'end') {
      for await (const _ of archive.pieces());
      if (dryRun) return { organization_id, rows: next.rows, blocks: next.blocks }
      if (!head.blocks) await insertAll(session, staged, base)
      await check(session, next.rows)
      await record(session, organization_id, `${path} sha256:${archive.digest}`)
      await session.run('COMMIT')
      return { organization_id, rows: next.rows, blocks: next.blocks }
    } else
      throw new OperatorError(
        `--from: schema level ${level} of the archive has a section that this release does not know`,
      )
  }
}

async function refuse(session: BulkSession, head: Extract<Head, { section: 'archive' }>, store: BlockStore | null) {
  const { organization_id, level, release } = head
  const [here] = await session.rows<{ level: number; is_there: boolean }>(
    'SELECT max(_id)::bigint AS level, EXISTS (SELECT FROM organization WHERE organization_id = $1) AS is_there FROM migration',
    [organization_id],
  )
  if (here!.level !== level)
    throw new OperatorError(
      `--from: the archive has schema level ${level}, made by release ${release}; --db has ${here!.level}: import it with that release, then migrate`,
    )
  if (here!.is_there) throw new OperatorError(`--from: organization ${organization_id} is in --db already`)
  if (head.blocks && !store)
    throw new OperatorError("--from: the archive has blocks: '--blockstore' says where to write them")
}

async function stage(archive: ArchiveReader, session: BulkSession, head: Extract<Head, { section: 'rows' }>) {
  const archived = BELONGINGS.find(({ table }) => table === head.table)
  const known = archived && (await columnsOf(session, head.table))
  const isKnown =
    known &&
    head.columns.every((name, i) => known.some(column => column.name === name && column.type === head.types[i]))
  if (!isKnown) throw new OperatorError(`--from: table ${head.table} of the archive is not that of this release`)
  const columns = head.columns.join(', ')
  await session.run(
    `CREATE TEMP TABLE staged_${head.table} ON COMMIT DROP AS SELECT ${columns} FROM ${head.table} WITH NO DATA`,
  )
  await pipeline(
    Readable.from(archive.pieces(), { objectMode: false }),
    session.write(`staged_${head.table} (${columns})`),
  )
  return head.columns
}

/** Each row gets a key of the range; references follow. */
async function insertAll(
  session: BulkSession,
  staged: ReadonlyMap<string, readonly string[]>,
  base: number,
): Promise<void> {
  const withKeys = new Set<string>()
  for (const [table, columns] of staged) {
    if (!columns.includes('_id')) continue
    withKeys.add(table)
    await session.run(
      `CREATE TEMP TABLE key_${table} ON COMMIT DROP AS SELECT _id AS old, ${base} + row_number() OVER (ORDER BY _id) AS new FROM staged_${table}`,
    )
    await session.run(`CREATE UNIQUE INDEX ON key_${table} (old); ANALYZE key_${table}`)
  }
  for (const { table, refs } of BELONGINGS) {
    const columns = staged.get(table)
    if (!columns) throw new OperatorError(`--from: the archive has no table ${table}`)
    const keys: { [column: string]: string } = withKeys.has(table) ? { _id: table, ...refs } : refs
    const joins = Object.entries(keys).filter(([column]) => columns.includes(column))
    const value = (column: string) => {
      // It refers to a row that comes later.
      if (table === 'user_' && column === 'shamir_recovery') return 'NULL'
      return column in keys ? `key_of_${column}.new` : `staged.${column}`
    }
    await session.run(
      `INSERT INTO ${table} (${columns.join(', ')}) OVERRIDING SYSTEM VALUE SELECT ${columns.map(value).join(', ')} FROM staged_${table} staged ${joins
        .map(([column, of]) => `LEFT JOIN key_${of} key_of_${column} ON key_of_${column}.old = staged.${column}`)
        .join(' ')}`,
    )
  }
  await session.run(
    `UPDATE user_ SET shamir_recovery = setup.new FROM staged_user_ staged
     JOIN key_user_ ON key_user_.old = staged._id JOIN key_shamir_recovery setup ON setup.old = staged.shamir_recovery
     WHERE user_._id = key_user_.new`,
  )
  const organization = base + 1
  for (const statement of [CONDUITS, ...RECOUNTS]) await session.run(statement, [organization])
}

async function check(session: BulkSession, rows: { readonly [table: string]: number }): Promise<void> {
  for (const [table, expected] of Object.entries(rows)) {
    const [found] = await session.rows<{ rows: number }>(`SELECT count(*)::bigint AS rows FROM staged_${table}`)
    if (found!.rows !== expected)
      throw new OperatorError(
        `--from: table ${table} should have ${expected} rows, there are ${found!.rows}; nothing was taken`,
      )
  }
}

const record = (session: BulkSession, organization_id: string, source: string) =>
  session.run(
    `INSERT INTO import_record (organization_id, source, completed_on) VALUES ($1, $2, now())
     ON CONFLICT (organization_id) DO UPDATE SET source = excluded.source, completed_on = excluded.completed_on`,
    [organization_id, source],
  )

/** Without a store they are only read. */
async function takeBlocks(archive: ArchiveReader, organization_id: string, store: BlockStore | null): Promise<void> {
  const take = async (piece: Buffer): Promise<void> => {
    const block_id = Uuid.fromBytes(piece.subarray(0, ID_BYTES))
    if (store) await copyBlock(store, organization_id, block_id, piece.subarray(ID_BYTES))
  }
  for await (const _ of ahead(archive.pieces(), piece => piece.length, take));
}
