/** Blocks of 512 KiB on S3, single and as RAID5, against the bare SDK with the same bytes on the same service. */
import { connect, signingKeyOf } from '../client.ts'
import type { Row } from '../report.ts'
import { type Costed, compare, rateRow, withCost } from '../rounds.ts'
import type { S3Service } from '../s3.ts'
import type { Deployment } from '../server.ts'
import { BLOCK_BYTES, createBlocks } from '../stage.ts'
import type { Workload } from '../workload.ts'
import type { Play, Scenario } from './scenario.ts'

const BUDGET = 0.85
const CONCURRENCIES = [1, 8, 32]
const RAID5_NODES = 3
/** Of each of the nodes: the block after its length of 4 bytes, on all nodes but the one with the checksum. */
const RAID5_CHUNK_BYTES = Math.ceil((4 + BLOCK_BYTES) / (RAID5_NODES - 1))

export const s3: Scenario = {
  name: 's3',
  about: 'block_read and block_create of 512 KiB on S3, against the bare SDK',
  run: async play => {
    const { buckets, realms, author } = play.stage
    const bucket = await buckets.create('block')
    const server = await play.storingIn([storeOption(await buckets.service(), bucket)])
    try {
      const wire = await connect(server.wsUrls[0]!, author, signingKeyOf(author))
      const blocks = await createBlocks(wire, realms.slice(0, Math.max(...CONCURRENCIES)))
      wire.close()
      const reading: Case = {
        what: 'block_read 512 KiB, S3',
        workload: { type: 'block_read', blocks },
        bare: { operation: 'get', buckets: [bucket], objectBytes: BLOCK_BYTES },
      }
      const writing: Case = {
        what: 'block_create 512 KiB, S3',
        workload: { type: 'block_create', realms, blockBytes: BLOCK_BYTES },
        bare: { operation: 'put', buckets: [bucket], objectBytes: BLOCK_BYTES },
      }
      return [...(await compareAll(play, server, reading)), ...(await compareAll(play, server, writing))]
    } finally {
      await server.stop()
      await buckets.dropAll()
    }
  },
}

export const raid5: Scenario = {
  name: 'raid5',
  about: `block_create of 512 KiB on RAID5 of ${RAID5_NODES} S3 buckets, against the bare SDK with the same chunks`,
  run: async play => {
    const { buckets, realms } = play.stage
    const nodes: string[] = []
    for (let node = 0; node < RAID5_NODES; node++) nodes.push(await buckets.create(`node-${node}`))
    const service = await buckets.service()
    const server = await play.storingIn(nodes.map((bucket, i) => `RAID5:${i}:${storeOption(service, bucket)}`))
    try {
      return await compareAll(play, server, {
        what: `block_create 512 KiB, RAID5 of ${RAID5_NODES} S3`,
        workload: { type: 'block_create', realms, blockBytes: BLOCK_BYTES },
        bare: { operation: 'put', buckets: nodes, objectBytes: RAID5_CHUNK_BYTES },
      })
    } finally {
      await server.stop()
      await buckets.dropAll()
    }
  },
}

/** A command of the server, and what the bare SDK does instead. */
type Case = {
  what: string
  workload: Workload
  bare: { operation: 'put' | 'get'; buckets: readonly string[]; objectBytes: number }
}

async function compareAll(play: Play, server: Deployment, { what, workload, bare }: Case): Promise<Row[]> {
  const { stage, settings } = play
  const { warmupMs, measureMs, rounds } = settings
  const [url, service] = [server.wsUrls[0]!, await stage.buckets.service()]
  const rows: Row[] = []
  for (const concurrency of CONCURRENCIES) {
    const compared = await compare<Costed, Costed>({
      rounds,
      measure: () =>
        withCost(server.processes, () =>
          stage.load.run({
            job: 'commands',
            url,
            identity: stage.author,
            connections: concurrency,
            workload,
            warmupMs,
            measureMs,
          }),
        ),
      ceiling: () =>
        withCost({}, () => stage.load.run({ job: 'objects', service, ...bare, concurrency, warmupMs, measureMs })),
    })
    rows.push(rateRow(`${what}, ${concurrency} at once`, compared, BUDGET))
    if (bare.operation === 'put') await stage.buckets.empty()
  }
  return rows
}

/** A value of `--blockstore`: a colon or backslash within a part is escaped. */
const storeOption = ({ endpoint, region, accessKeyId, secretAccessKey }: S3Service, bucket: string): string =>
  ['s3', ...[endpoint, region, bucket, accessKeyId, secretAccessKey].map(part => part.replace(/[\\:]/g, '\\$&'))].join(
    ':',
  )
