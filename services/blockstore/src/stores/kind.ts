/** What a kind of back end registers: how it is typed, what of it is secret, and how it is opened. */
import type { DatabaseConfig } from '@parsec/shared/config'
import type { Log } from '@parsec/shared/log'
import type { Database } from '@parsec/shared/postgres/database'
import type { NetworkOptions } from './network.ts'
import type { ObjectStore } from './store.ts'

/** A back end that is not opened yet. `name`: how people and metrics call it; `concurrency`: most operations at once. */
export type NamedStore = { name: string; store: ObjectStore; concurrency?: number }

export type MakeDeps = {
  log: Log
  network: NetworkOptions
  /** The metadata's database, and the connections to it where the metadata service runs in the same process. */
  databaseConfig: DatabaseConfig
  database: Database | null
  /** Whether it is one of a RAID. */
  isNode: boolean
}

/** `Config` is plain data; its `type` is that of the kind. */
export interface StoreKind<Config> {
  /** The first part of a value of `--blockstore`, in capitals. */
  readonly type: string
  /** The form of such a value, and what help says of it. A form of one word is compared as a whole, without escapes. */
  readonly form: string
  readonly help: string
  /** The settings behind the type. Throws `Error` with the text for the user; null: not of this form. */
  parse(fields: readonly string[]): Config | null
  /** What must be in no report. */
  secrets(config: Config): readonly string[]
  /** Equal for nodes that see the same objects, whatever their credentials; null: a storage of its own. */
  keySpace(config: Config): readonly string[] | null
  /** It lies in the metadata's database. */
  readonly isDatabase?: true
  /** It is lost with the process. */
  readonly isMemory?: true
  /** Throws `OperatorError` when the settings cannot work. */
  make(config: Config, deps: MakeDeps): Promise<NamedStore>
}
