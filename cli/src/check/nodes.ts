/** Every node of the block store: a small object is written, read, listed and removed, and the node is the one it should be. */
import { randomBytes } from 'node:crypto'
import { decodeMarker } from '@parsec/blockstore/identity/marker'
import type { NamedStore } from '@parsec/blockstore/stores/kind'
import type { NetworkOptions } from '@parsec/blockstore/stores/network'
import { makeObjectStore } from '@parsec/blockstore/stores/open'
import { nodesOf, type StoreConfig } from '@parsec/blockstore/stores/registry'
import { objectKey } from '@parsec/blockstore/stores/store'
import { Uuid } from '@parsec/shared/codec/values'
import type { DatabaseConfig } from '@parsec/shared/config'
import { CHECK_CLOCK_MS } from '@parsec/shared/deadlines'
import { createLog } from '@parsec/shared/log'
import type { BlockstoreNode } from '@parsec/shared/protocol/internal'
import { type Finding, Findings } from './finding.ts'

/** No organization is called so while it is checked: a hyphen at both ends. */
const ORGANIZATION = '-parsec-check-'
const BYTES = 4096
const WRITE_REMEDY = 'the credentials of --blockstore must be allowed to write, read, list and delete objects'

export async function checkNodes(
  store: StoreConfig,
  database: DatabaseConfig,
  network: NetworkOptions,
  registered: readonly BlockstoreNode[] | undefined,
): Promise<Finding[]> {
  const nodes = nodesOf(store)
  const found = await Promise.all(
    nodes.map(async (node, index) => {
      const log = createLog({ level: 'CRITICAL', format: 'CONSOLE', file: null })
      const findings = new Findings(nodes.length === 1 ? 'block store' : `node ${index}`)
      await findings.look('check --blockstore and the network', async signal => {
        const named = await makeObjectStore(node, { config: { store, database }, log, network, database: null })
        try {
          await named.store.open()
          await tryOut(named, findings, signal)
          await checkIdentity(named, registered?.[index], findings, signal)
        } finally {
          await named.store.close()
        }
      })
      await log.close()
      return findings.list
    }),
  )
  return found.flat()
}

async function tryOut({ name, store }: NamedStore, findings: Findings, signal: AbortSignal): Promise<void> {
  const block_id = Uuid.random()
  const data = randomBytes(BYTES)
  const key = objectKey(ORGANIZATION, block_id)
  const times: string[] = []
  const step = async (what: string, work: () => Promise<void>): Promise<void> => {
    const startedAt = performance.now()
    try {
      await work()
    } catch (error) {
      throw new Error(`${name}: ${what}: ${(error as Error).message}; ${WRITE_REMEDY}`, { cause: error })
    }
    times.push(`${what} ${Math.round(performance.now() - startedAt)} ms`)
  }
  const before = Date.now()
  await step('write', () => store.create(ORGANIZATION, block_id, data, signal))
  try {
    await step('read', async () => {
      if (!(await store.read(ORGANIZATION, block_id, signal)).equals(data)) throw new Error('other bytes came back')
    })
    await step('list', async () => {
      // What comes first behind the key less its last letter.
      for await (const object of store.list(key.slice(0, -1), signal)) {
        if (object.key !== key) continue
        checkClock(object.writtenOn, before, findings)
        return
      }
      throw new Error('what was written is not listed')
    })
  } finally {
    await step('delete', () => store.remove(key, signal))
  }
  findings.ok(`${name}: ${times.join(', ')}`)
}

function checkClock(writtenOn: number | null, before: number, findings: Findings): void {
  if (writtenOn === null) return
  const off = writtenOn < before ? writtenOn - before : Math.max(writtenOn - Date.now(), 0)
  if (Math.abs(off) > CHECK_CLOCK_MS)
    findings.fail(
      `its clock is ${Math.round(off / 1000)} s off ours`,
      'let both machines keep time (chrony, systemd-timesyncd)',
    )
}

async function checkIdentity(
  { store }: NamedStore,
  registered: BlockstoreNode | undefined,
  findings: Findings,
  signal: AbortSignal,
): Promise<void> {
  if (!registered || !store.marker) return
  const bytes = await store.marker.read(signal)
  const marker = bytes && decodeMarker(bytes)
  if (marker?.node_id.hex === registered.node_id.hex) return findings.ok('it is the node that the database knows')
  if (!registered.is_marked && !marker) return findings.ok('it has no marker yet: the next start writes it')
  findings.fail(
    marker ? 'it is another node, or of another block store' : 'it has no marker: it is empty, or another storage',
    'name the storages of --blockstore in their order; have a replaced one adopted by `parsec backend scrub --adopt`',
  )
}
