/**
 * Blocks as files of a directory: `<organization id>/<first two digits of the id>/<block id>`. A file appears under its
 * name when all its bytes are on the disk, never before.
 */

import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { access, type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Uuid } from '@parsec/shared/codec/values'
import { FILE_ABANDONED_MS } from '@parsec/shared/deadlines'
import { OperatorError } from '@parsec/shared/errors'
import { limits } from '@parsec/shared/limits'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import { MARKER_KEY } from '../identity/marker.ts'
import type { StoreKind } from './kind.ts'
import {
  blockOfKey,
  type MarkerPlace,
  nullIfMissing,
  type ObjectStore,
  type StoredObject,
  StoreError,
} from './store.ts'

/** Where files are written before they get their name; no organization id starts with a dot. */
const INCOMING = '.incoming'

/** An existing directory. */
export type FileConfig = { type: 'FILE'; directory: string }

export const FILE: StoreKind<FileConfig> = {
  type: 'FILE',
  form: 'file:<directory>',
  help: 'an existing directory of this machine',
  parse: ([directory, ...more]) => (directory && more.length === 0 ? { type: 'FILE', directory } : null),
  secrets: () => [],
  keySpace: ({ directory }) => [resolve(directory)],
  make: async ({ directory }) => ({ name: `file ${directory}`, store: new FileStore(directory) }),
}

export class FileStore implements ObjectStore {
  readonly keys: { blockstore_type: 'FILE'; directory: string }
  readonly #directory: string
  readonly #incoming: string
  constructor(directory: string) {
    this.keys = { blockstore_type: 'FILE', directory }
    this.#directory = directory
    this.#incoming = join(directory, INCOMING)
  }

  /**
   * Throws `StoreError` when the directory is not there, which may be a mount that is missing; `OperatorError` when it
   * cannot be written, or does not tell capital letters from small ones, since organization ids do.
   */
  async open(): Promise<void> {
    try {
      await access(this.#directory, constants.R_OK | constants.W_OK | constants.X_OK)
      await mkdir(this.#incoming, { recursive: true })
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      const text = `File block store: directory \`${this.#directory}\` cannot be used (${code}); it must exist and be writable (--blockstore)`
      throw AWAY.has(code ?? '') ? new StoreError(text, { cause: error }) : new OperatorError(text, { cause: error })
    }
    await this.#clearAbandoned()
    await this.#refuseCaseFolding()
  }

  readonly marker: MarkerPlace = {
    read: () => nullIfMissing(this.#read(join(this.#directory, MARKER_KEY))),
    write: data => this.#write(join(this.#directory, MARKER_KEY), data),
  }
  read(organization_id: OrganizationID, block_id: Uuid): Promise<Buffer> {
    return this.#read(this.#path(organization_id, block_id))
  }
  /** An existing file is replaced. */
  create(organization_id: OrganizationID, block_id: Uuid, data: Buffer): Promise<void> {
    return this.#write(this.#path(organization_id, block_id), data)
  }

  async #read(path: string): Promise<Buffer> {
    let file: FileHandle
    try {
      file = await open(path, 'r')
    } catch (error) {
      if (!isMissing(error)) throw error
      throw new StoreError('no such file', { missing: true })
    }
    try {
      const { size } = await file.stat()
      if (size > limits.object.value) throw new StoreError(`file over ${limits.object.value} bytes`)
      return await file.readFile()
    } finally {
      await file.close()
    }
  }

  async #write(path: string, data: Buffer): Promise<void> {
    const incoming = join(this.#incoming, randomUUID())
    try {
      const file = await open(incoming, 'wx', 0o600)
      try {
        await file.writeFile(data)
        await file.datasync()
      } finally {
        await file.close()
      }
      await this.#move(incoming, path)
    } catch (error) {
      await rm(incoming, { force: true })
      throw error
    }
    await syncDirectory(dirname(path))
  }

  async *list(after: string): AsyncIterable<StoredObject> {
    const [lastOrganization = '', lastName = ''] = after.split('/')
    for (const organization_id of await namesIn(this.#directory)) {
      if (organization_id === INCOMING || organization_id < lastOrganization) continue
      for (const shard of await namesIn(join(this.#directory, organization_id)))
        for (const name of await namesIn(join(this.#directory, organization_id, shard))) {
          if (organization_id === lastOrganization && name <= lastName) continue
          const key = `${organization_id}/${name}`
          const file = await stat(join(this.#directory, organization_id, shard, name)).catch(() => null)
          if (file) yield { key, writtenOn: file.mtimeMs }
        }
    }
  }
  async remove(key: string): Promise<void> {
    const block = blockOfKey(key)
    if (!block) return
    const path = this.#path(block.organization_id, block.block_id)
    await rm(path, { force: true })
    await syncDirectory(dirname(path)).catch(error => {
      if (!isMissing(error)) throw error
    })
  }
  async close(): Promise<void> {}

  #path(organization_id: OrganizationID, block_id: Uuid): string {
    return join(this.#directory, organization_id, block_id.hex.slice(0, 2), block_id.hyphenated)
  }

  async #move(from: string, to: string): Promise<void> {
    try {
      await rename(from, to)
    } catch (error) {
      if (!isMissing(error)) throw error
      const shard = dirname(to)
      // Never the directory itself: without it the disk is not there, and its mount point belongs to another one.
      for (const path of [dirname(shard), shard]) await mkdir(path).catch(ignoreExisting)
      await syncDirectory(dirname(shard))
      await syncDirectory(this.#directory)
      await rename(from, to)
    }
  }

  async #clearAbandoned(): Promise<void> {
    for (const name of await readdir(this.#incoming)) {
      const path = join(this.#incoming, name)
      const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Number.POSITIVE_INFINITY }))
      if (Date.now() - mtimeMs > FILE_ABANDONED_MS) await rm(path, { force: true })
    }
  }
  async #refuseCaseFolding(): Promise<void> {
    const probe = join(this.#incoming, `a${randomUUID()}`)
    const file = await open(probe, 'wx', 0o600)
    await file.close()
    try {
      await access(join(this.#incoming, `A${probe.slice(this.#incoming.length + 2)}`))
    } catch {
      return
    } finally {
      await rm(probe, { force: true })
    }
    throw new OperatorError(
      `File block store: the file system of \`${this.#directory}\` ignores case, which would mix up organizations (--blockstore)`,
    )
  }
}

/** Codes of a directory that is not there, or whose disk is gone. */
const AWAY = new Set(['ENOENT', 'ENOTDIR', 'ENODEV', 'ENXIO', 'EIO', 'ESTALE', 'EHOSTDOWN', 'ETIMEDOUT'])

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT'
function ignoreExisting(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error
}

/** Makes the names in a directory durable. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}

/** What a directory holds, in order; nothing when it is none or has gone. */
async function namesIn(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).sort()
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return []
    throw error
  }
}
