/** The ceiling of blocks on S3: the bare SDK puts and gets the same bytes, in the process that loads the server. */
import { randomBytes, randomUUID } from 'node:crypto'
import { type LoadResult, Meter } from './meter.ts'
import { connectS3, type S3Service } from './s3.ts'

/** One operation puts an object into each bucket, or gets one from each, all at once. Durations in milliseconds. */
export type ObjectsJob = {
  job: 'objects'
  service: S3Service
  operation: 'put' | 'get'
  buckets: readonly string[]
  objectBytes: number
  /** Operations at once. */
  concurrency: number
  warmupMs: number
  measureMs: number
}

export async function objects(job: ObjectsJob): Promise<LoadResult> {
  const { service, operation, buckets, objectBytes, concurrency, warmupMs, measureMs } = job
  const { sdk, client } = await connectS3(service, concurrency * buckets.length)
  const bodies = buckets.map(() => randomBytes(objectBytes))
  const put = (Key: string) =>
    Promise.all(buckets.map((Bucket, i) => client.send(new sdk.PutObjectCommand({ Bucket, Key, Body: bodies[i]! }))))
  const get = (Key: string) =>
    Promise.all(
      buckets.map(async Bucket => {
        const { Body } = await client.send(new sdk.GetObjectCommand({ Bucket, Key }))
        const bytes = await Body!.transformToByteArray()
        if (bytes.length !== objectBytes) throw new Error(`object of ${bytes.length} bytes`)
      }),
    )
  const keys = Array.from({ length: concurrency }, newKey)
  if (operation === 'get') await Promise.all(keys.map(put))

  const meter = new Meter(warmupMs, measureMs)
  const loop = async (key: string) => {
    for (let startedAt = performance.now(); startedAt < meter.endsAt; startedAt = meter.count(startedAt)) {
      if (operation === 'put') await put(newKey())
      else await get(key)
    }
  }
  await Promise.all(keys.map(loop))
  client.destroy()
  return meter.result()
}

/** Of the shape that the server's have. */
const newKey = (): string => `ceiling/${randomUUID()}`
