/** An S3 service as a user of the bare SDK sees it, and the buckets of this run in it. */
import { randomBytes } from 'node:crypto'
import { Agent } from 'node:http'
import type { S3Client } from '@aws-sdk/client-s3'

/** Where it answers over plain HTTP, and whose keys it accepts. */
export type S3Service = { endpoint: string; region: string; accessKeyId: string; secretAccessKey: string }
export type Sdk = typeof import('@aws-sdk/client-s3')
export type S3Connection = { sdk: Sdk; client: S3Client }

/** How many objects are deleted at once. */
const DELETIONS = 32

/** `sockets` stay open between requests. The SDK takes part of a second to load: only who uses it waits for it. */
export async function connectS3(service: S3Service, sockets: number): Promise<S3Connection> {
  const sdk = await import('@aws-sdk/client-s3')
  const { endpoint, region, ...credentials } = service
  const client = new sdk.S3Client({
    endpoint,
    region,
    credentials,
    forcePathStyle: true,
    // The signature covers a hash of the bytes already; a further checksum would only slow the ceiling down.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { httpAgent: new Agent({ keepAlive: true, maxSockets: sockets }) },
  })
  return { sdk, client }
}

/** Buckets of this run, all dropped at its end. The service is looked for when the first is made. */
export class Buckets {
  readonly #find: () => Promise<S3Service>
  readonly #prefix = `parsec-bench-${randomBytes(4).toString('hex')}`
  readonly #names = new Set<string>()
  #found: Promise<S3Service> | undefined
  #connected: Promise<S3Connection> | undefined
  constructor(find: () => Promise<S3Service>) {
    this.#find = find
  }

  service(): Promise<S3Service> {
    this.#found ??= this.#find()
    return this.#found
  }
  /** Returns the bucket's whole name. */
  async create(name: string): Promise<string> {
    const { sdk, client } = await this.#connection()
    const Bucket = `${this.#prefix}-${name}`
    await client.send(new sdk.CreateBucketCommand({ Bucket }))
    this.#names.add(Bucket)
    return Bucket
  }
  /** Deletes all objects of all buckets. */
  async empty(): Promise<void> {
    for (const name of this.#names) await this.#empty(name)
  }
  async dropAll(): Promise<void> {
    for (const Bucket of [...this.#names]) {
      await this.#empty(Bucket)
      const { sdk, client } = await this.#connection()
      await client.send(new sdk.DeleteBucketCommand({ Bucket }))
      this.#names.delete(Bucket)
    }
  }

  async #empty(Bucket: string): Promise<void> {
    const { sdk, client } = await this.#connection()
    for (;;) {
      const { Contents = [] } = await client.send(new sdk.ListObjectsV2Command({ Bucket }))
      if (Contents.length === 0) return
      const keys = Contents.values()
      const deletion = async () => {
        for (const { Key } of keys) await client.send(new sdk.DeleteObjectCommand({ Bucket, Key }))
      }
      await Promise.all(Array.from({ length: DELETIONS }, deletion))
    }
  }
  #connection(): Promise<S3Connection> {
    this.#connected ??= this.service().then(service => connectS3(service, DELETIONS))
    return this.#connected
  }
}
