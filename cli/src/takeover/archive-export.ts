/** One organization as one file: its rows as they are at one moment, and its blocks (spec 07, issue of leaving). */
import { withDeadline } from '@parsec/blockstore/stores/deadline'
import type { BlockStore } from '@parsec/blockstore/stores/store'
import { BELONGINGS, selection } from '@parsec/metadata/storage/belongings'
import { Uuid } from '@parsec/shared/codec/values'
import { BLOCK_COPY_MS } from '@parsec/shared/deadlines'
import { OperatorError } from '@parsec/shared/errors'
import { BulkSession } from '@parsec/shared/postgres/bulk'
import type { Target } from '@parsec/shared/postgres/target'
import { ahead } from './ahead.ts'
import { ArchiveWriter } from './archive-file.ts'

const PAGE = 500
/** Bytes of rows in one piece. */
const PIECE_BYTES = 1024 * 1024

export type ExportOptions = {
  readonly db: Target
  readonly silenceMs: number
  readonly organization_id: string
  readonly path: string
  /** Null: without blocks. */
  readonly store: BlockStore | null
  /** Told of each block that cannot be read, which is left out; null: the first one ends the export. */
  readonly onDamaged: ((block_id: string, cause: string) => void) | null
  readonly release: string
}
export type Exported = { rows: { [table: string]: number }; blocks: number }

export async function exportOrganization(options: ExportOptions): Promise<Exported> {
  await using session = await BulkSession.open(options.db, '--db', options.silenceMs)
  await session.run('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY')
  const [found] = await session.rows<{ key: number; level: number }>(
    'SELECT _id AS key, (SELECT max(_id) FROM migration)::bigint AS level FROM organization WHERE organization_id = $1',
    [options.organization_id],
  )
  if (!found) throw new OperatorError(`--organization: there is no organization ${options.organization_id}`)
  const writer = await ArchiveWriter.create(options.path)
  try {
    const exported = await write(session, writer, found, options)
    await writer.close()
    return exported
  } catch (error) {
    await writer.abandon()
    throw error
  }
}

async function write(
  session: BulkSession,
  writer: ArchiveWriter,
  { key, level }: { key: number; level: number },
  { organization_id, release, store, onDamaged }: ExportOptions,
): Promise<Exported> {
  const exported_on = new Date().toISOString()
  await writer.begin({ section: 'archive', organization_id, level, release, exported_on, blocks: store !== null })
  await writer.finish()
  const rows: { [table: string]: number } = {}
  for (const { table, where, without = [] } of BELONGINGS) {
    const columns = (await columnsOf(session, table)).filter(({ name }) => !without.includes(name))
    const names = columns.map(({ name }) => name)
    await writer.begin({ section: 'rows', table, columns: names, types: columns.map(({ type }) => type) })
    const stream = session.read(
      `SELECT ${names.join(', ')} FROM ${table} WHERE ${selection(where, { key, name: organization_id })}`,
    )
    let waiting: Buffer[] = []
    let bytes = 0
    for await (const chunk of stream) {
      waiting.push(chunk as Buffer)
      bytes += (chunk as Buffer).length
      if (bytes < PIECE_BYTES) continue
      await writer.piece(Buffer.concat(waiting))
      waiting = []
      bytes = 0
    }
    await writer.piece(Buffer.concat(waiting))
    await writer.finish()
    rows[table] = stream.rowCount
  }
  const blocks = store ? await writeBlocks(session, writer, { key, organization_id, store, onDamaged }) : 0
  await writer.begin({ section: 'end', rows, blocks })
  await writer.finish()
  return { rows, blocks }
}

type Stored = { block_id: string; size: number; missed_nodes: number[] | null }

async function writeBlocks(
  session: BulkSession,
  writer: ArchiveWriter,
  {
    key,
    organization_id,
    store,
    onDamaged,
  }: Pick<ExportOptions, 'organization_id' | 'onDamaged'> & { key: number; store: BlockStore },
): Promise<number> {
  const read = async ({ block_id, size, missed_nodes }: Stored): Promise<Buffer | null> => {
    const id = Uuid.parse(block_id)!
    const facts = { size, missedNodes: missed_nodes ?? [] }
    const reading = withDeadline(null, BLOCK_COPY_MS, signal => store.read(organization_id, id, facts, signal))
    const data = await reading.catch((error: Error) => {
      if (!onDamaged)
        throw new OperatorError(
          `--blockstore: block ${block_id} cannot be read (${error.message}); \`parsec backend scrub\` tells more, --without-damaged-blocks leaves it out`,
        )
      onDamaged(block_id, error.message)
      return null
    })
    return data && Buffer.concat([Buffer.from(id.hex, 'hex'), data])
  }
  await writer.begin({ section: 'blocks' })
  let blocks = 0
  const query = `SELECT block_id::text, size, missed_nodes FROM block WHERE organization = ${key} AND deleted_on IS NULL`
  for await (const rows of session.pages<Stored>(query, PAGE))
    for await (const piece of ahead(rows, ({ size }) => size, read)) {
      if (!piece) continue
      await writer.piece(piece)
      blocks++
    }
  await writer.finish()
  return blocks
}

export const columnsOf = (session: BulkSession, table: string): Promise<{ name: string; type: string }[]> =>
  session.rows(
    `SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute
     WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
    [table],
  )
