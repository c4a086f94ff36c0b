/** What the block-store service is told at its start. */
import type { DatabaseConfig } from '@parsec/shared/config'
import type { StoreConfig } from './stores/registry.ts'

export type BlockstoreConfig = {
  store: StoreConfig
  database: DatabaseConfig
  /** Whether RAID1 and RAID5 may store a block without the nodes that they can spare; off unless given. */
  raidDegradedWrites?: boolean
}
