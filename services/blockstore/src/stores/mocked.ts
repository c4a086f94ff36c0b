/** Blocks in the memory of this process: for development, lost at its end (spec 06 §7.6). */
import type { Uuid } from '@parsec/shared/codec/values'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import type { StoreKind } from './kind.ts'
import { type ObjectStore, objectKey, type StoredObject, StoreError } from './store.ts'

export type MockedConfig = { type: 'MOCKED' }

export const MOCKED: StoreKind<MockedConfig> = {
  type: 'MOCKED',
  form: 'MOCKED',
  help: 'memory, for trials',
  parse: () => ({ type: 'MOCKED' }),
  secrets: () => [],
  keySpace: () => null,
  isMemory: true,
  make: async () => ({ name: 'MOCKED', store: new MockedStore() }),
}

class MockedStore implements ObjectStore {
  readonly keys = { blockstore_type: 'MOCKED' }
  readonly marker = null
  readonly #blocks = new Map<string, Buffer>()

  async open(): Promise<void> {}
  async read(organization_id: OrganizationID, block_id: Uuid): Promise<Buffer> {
    const block = this.#blocks.get(objectKey(organization_id, block_id))
    if (!block) throw new StoreError('no such block', { missing: true })
    return block
  }
  /** Copies: `data` is a view of the message that it came in. */
  async create(organization_id: OrganizationID, block_id: Uuid, data: Buffer): Promise<void> {
    this.#blocks.set(objectKey(organization_id, block_id), Buffer.from(data))
  }
  async *list(after: string): AsyncIterable<StoredObject> {
    for (const key of [...this.#blocks.keys()].sort()) if (key > after) yield { key, writtenOn: null }
  }
  async remove(key: string): Promise<void> {
    this.#blocks.delete(key)
  }
  async close(): Promise<void> {
    this.#blocks.clear()
  }
}
