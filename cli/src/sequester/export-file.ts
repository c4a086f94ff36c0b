/**
 * The file of a realm's export, an SQLite database (spec 05 §14.5). What one transaction adds is there for good, so an
 * export that was interrupted is continued where it stopped.
 */
import { closeSync, existsSync, openSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { Uuid } from '@parsec/shared/codec/values'
import { OperatorError } from '@parsec/shared/errors'
import type { ExportedBlock, ExportedDevice, ExportedRole, ExportedUser, ExportedVlob } from './export-source.ts'

const MAGIC = 87947
const VERSION = 1
const SCHEMA = `
  CREATE TABLE info (
    magic INTEGER NOT NULL, version INTEGER NOT NULL, realm_id BLOB NOT NULL, root_verify_key BLOB NOT NULL
  );
  CREATE TABLE user_ (_id INTEGER PRIMARY KEY, user_certificate BLOB NOT NULL, revoked_user_certificate BLOB);
  CREATE TABLE device (_id INTEGER PRIMARY KEY, device_certificate BLOB NOT NULL);
  CREATE TABLE realm_role (_id INTEGER PRIMARY KEY, role_certificate BLOB NOT NULL);
  CREATE TABLE vlob_atom (
    _id INTEGER PRIMARY KEY, vlob_id BLOB NOT NULL, version INTEGER NOT NULL, blob BLOB NOT NULL,
    author INTEGER NOT NULL, timestamp INTEGER NOT NULL, UNIQUE (vlob_id, version)
  );
  CREATE TABLE block (
    _id INTEGER PRIMARY KEY, block_id BLOB NOT NULL UNIQUE, data BLOB NOT NULL, author INTEGER NOT NULL
  )`

export type ExportInfo = { realm_id: Uuid; root_verify_key: Buffer }

/** Where an export of the realm goes when the operator names a file or a directory. */
export function exportPath(output: string, realm_id: Uuid): string {
  const isDirectory = statSync(output, { throwIfNoEntry: false })?.isDirectory() === true
  return isDirectory ? join(output, `parsec-sequester-export-realm-${realm_id}.sqlite`) : output
}

const idBytes = (id: Uuid): Buffer => Buffer.from(id.hex, 'hex')

export class ExportFile {
  readonly #database: DatabaseSync
  readonly info: ExportInfo

  private constructor(database: DatabaseSync, info: ExportInfo) {
    this.#database = database
    this.info = info
  }

  /** Opens the export of a realm, or begins it. Throws `OperatorError` for a file of another realm or of another kind. */
  static create(path: string, info: ExportInfo): ExportFile {
    return ExportFile.#guarded(path, { readOnly: false }, database => {
      const isNew = database.prepare('SELECT 1 FROM sqlite_schema').get() === undefined
      if (isNew) {
        inTransaction(database, () => {
          database.exec(SCHEMA)
          database
            .prepare('INSERT INTO info VALUES (?, ?, ?, ?)')
            .run(MAGIC, VERSION, idBytes(info.realm_id), info.root_verify_key)
        })
      }
      const found = readInfo(path, database)
      if (!found.realm_id.equals(info.realm_id))
        throw new OperatorError(`${path} is an export of another realm (${found.realm_id})`)
      if (!found.root_verify_key.equals(info.root_verify_key))
        throw new OperatorError(`${path} is an export of another organization`)
      return found
    })
  }

  /** Opens an export for reading. Throws `OperatorError`. */
  static open(path: string): ExportFile {
    return ExportFile.#guarded(path, { readOnly: true }, database => readInfo(path, database))
  }

  static #guarded(
    path: string,
    options: { readOnly: boolean },
    check: (database: DatabaseSync) => ExportInfo,
  ): ExportFile {
    let database: DatabaseSync | undefined
    try {
      // Who else may read a new one, SQLite leaves to the process.
      if (!options.readOnly) closeSync(openSync(path, 'a', 0o600))
      database = new DatabaseSync(path, options)
      return new ExportFile(database, check(database))
    } catch (error) {
      database?.close()
      if (error instanceof OperatorError) throw error
      const what = existsSync(path) ? 'is not a realm export' : 'cannot be made'
      throw new OperatorError(`${path} ${what}: ${(error as Error).message}`, { cause: error })
    }
  }

  close(): void {
    this.#database.close()
  }

  // Writing

  addUsers(users: readonly ExportedUser[]): void {
    this.#insert(
      `INSERT INTO user_ VALUES (?, ?, ?)
        ON CONFLICT (_id) DO UPDATE SET revoked_user_certificate = excluded.revoked_user_certificate`,
      users.map(user => [user._id, user.user_certificate, user.revoked_user_certificate]),
    )
  }
  addDevices(devices: readonly ExportedDevice[]): void {
    this.#insert(
      'INSERT INTO device VALUES (?, ?) ON CONFLICT DO NOTHING',
      devices.map(device => [device._id, device.device_certificate]),
    )
  }
  addRoles(roles: readonly ExportedRole[]): void {
    this.#insert(
      'INSERT INTO realm_role VALUES (?, ?) ON CONFLICT DO NOTHING',
      roles.map(role => [role._id, role.role_certificate]),
    )
  }
  addVlobs(vlobs: readonly ExportedVlob[]): void {
    this.#insert(
      'INSERT INTO vlob_atom VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
      vlobs.map(v => [v._id, idBytes(v.vlob_id), v.version, v.blob, v.author, v.timestamp.us]),
    )
  }
  addBlocks(blocks: readonly (ExportedBlock & { data: Buffer })[]): void {
    this.#insert(
      'INSERT INTO block VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING',
      blocks.map(block => [block._id, idBytes(block.block_id), block.data, block.author]),
    )
  }
  #insert(statement: string, rows: readonly SQLInputValue[][]): void {
    inTransaction(this.#database, () => {
      const insert = this.#database.prepare(statement)
      for (const row of rows) insert.run(...row)
    })
  }

  // Reading

  /** Index of the newest change that it has, 0 for none. */
  newestChange(): number {
    return this.#database.prepare('SELECT coalesce(max(_id), 0) AS newest FROM vlob_atom').get()!.newest as number
  }
  hasBlock({ block_id }: { block_id: Uuid }): boolean {
    return this.#database.prepare('SELECT 1 FROM block WHERE block_id = ?').get(idBytes(block_id)) !== undefined
  }
  /** Certificate by key of the row. */
  devices(): Map<number, Buffer> {
    const rows = this.#database.prepare('SELECT _id, device_certificate FROM device ORDER BY _id').all()
    return new Map(rows.map(row => [row._id as number, buffer(row.device_certificate)]))
  }
  /** The newest version of a vlob that was written up to `until`, in microseconds since 1970. */
  vlob(vlob_id: Uuid, until: number): { version: number; blob: Buffer; author: number } | undefined {
    const row = this.#database
      .prepare(
        'SELECT version, blob, author FROM vlob_atom WHERE vlob_id = ? AND timestamp <= ? ORDER BY version DESC LIMIT 1',
      )
      .get(idBytes(vlob_id), until)
    return row && { version: row.version as number, blob: buffer(row.blob), author: row.author as number }
  }
  block(block_id: Uuid): Buffer | undefined {
    const row = this.#database.prepare('SELECT data FROM block WHERE block_id = ?').get(idBytes(block_id))
    return row && buffer(row.data)
  }
}

const buffer = (value: unknown): Buffer => Buffer.from(value as Uint8Array)

function readInfo(path: string, database: DatabaseSync): ExportInfo {
  const row = database.prepare('SELECT magic, version, realm_id, root_verify_key FROM info').get()
  if (row?.magic !== MAGIC) throw new OperatorError(`${path} is not a realm export`)
  if (row.version !== VERSION)
    throw new OperatorError(`${path} is a realm export of an unknown version (${row.version})`)
  return { realm_id: Uuid.fromBytes(buffer(row.realm_id)), root_verify_key: buffer(row.root_verify_key) }
}

function inTransaction(database: DatabaseSync, work: () => void): void {
  database.exec('BEGIN')
  try {
    work()
    database.exec('COMMIT')
  } catch (error) {
    database.exec('ROLLBACK')
    throw error
  }
}
