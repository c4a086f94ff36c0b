/** Where it is written down which storages are the nodes: in the metadata's database, however that is reached. */
import type { Bus } from '@parsec/shared/bus/bus'
import { callInternal } from '@parsec/shared/bus/rpc'
import { registerNodes, sampleBlocks, setMarked } from '@parsec/shared/postgres/blockstore-nodes'
import type { Queryable } from '@parsec/shared/postgres/sql'
import type { BlockstoreNode, SampleBlock } from '@parsec/shared/protocol/internal'

export interface Register {
  /** The registered nodes, those of `proposal` when there were none; and blocks that a node should have. */
  nodes(proposal: readonly BlockstoreNode[]): Promise<{ nodes: BlockstoreNode[]; samples: SampleBlock[] }>
  /** The marker of this node is written. */
  marked(node: BlockstoreNode): Promise<void>
}

export const busRegister = (bus: Bus): Register => ({
  nodes: proposal => callInternal(bus, 'block_nodes', { proposal: [...proposal] }),
  async marked({ index, node_id }) {
    await callInternal(bus, 'block_node_marked', { index, node_id })
  },
})

export const databaseRegister = (db: Queryable): Register => ({
  nodes: async proposal => ({ nodes: await registerNodes(db, proposal), samples: await sampleBlocks(db) }),
  marked: ({ index, node_id }) => setMarked(db, index, node_id),
})
