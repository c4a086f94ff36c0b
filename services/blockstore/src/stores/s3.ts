/** Blocks in a bucket of an S3 service (spec 06 §7.3). The SDK signs and sends; retries and deadlines are ours. */

import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { S3Client } from '@aws-sdk/client-s3'
import { STORE_CONNECT_MS } from '@parsec/shared/deadlines'
import { OperatorError } from '@parsec/shared/errors'
import { AttemptError, isTransientCode, isTransientStatus } from './attempts.ts'
import { readBody } from './body.ts'
import { type Five, withScheme } from './fields.ts'
import type { StoreKind } from './kind.ts'
import type { NetworkOptions } from './network.ts'
import { RemoteStore, refuseBadUrl, refuseEmpty } from './remote.ts'
import { type StoredObject, StoreError } from './store.ts'

type Sdk = typeof import('@aws-sdk/client-s3')

const READ = { isRead: true }
const silent = { trace() {}, debug() {}, info() {}, warn() {}, error() {} }

/** `endpoint`: null is Amazon's. */
export type S3Config = {
  type: 'S3'
  endpoint: string | null
  region: string
  bucket: string
  key: string
  secret: string
}

export const S3: StoreKind<S3Config> = {
  type: 'S3',
  form: 's3:[<endpoint_url>]:<region>:<bucket>:<key>:<secret>',
  help: 'a bucket of an S3 service',
  parse(fields) {
    if (fields.length !== 5) return null
    const [endpoint, region, bucket, key, secret] = fields as Five
    return { type: 'S3', endpoint: endpoint === '' ? null : withScheme(endpoint), region, bucket, key, secret }
  },
  secrets: ({ key, secret }) => [key, secret],
  keySpace: ({ endpoint, region, bucket }) => [endpoint ?? region, bucket],
  async make(config, { network }) {
    const store = await S3Store.make(config, network)
    return { name: `S3 ${config.bucket} at ${store.host}`, store }
  },
}

class S3Store extends RemoteStore {
  readonly keys: { blockstore_type: 'S3'; s3_region: string; s3_bucket: string }
  readonly host: string
  readonly #sdk: Sdk
  readonly #client: S3Client
  readonly #bucket: string
  readonly #where: string

  /** Loads the SDK. Throws `OperatorError` when it is not installed or a setting cannot work. */
  static async make(config: S3Config, network: NetworkOptions): Promise<S3Store> {
    refuseEmpty('S3', config, ['region', 'bucket', 'key', 'secret'])
    if (config.endpoint !== null) refuseBadUrl('S3', 'endpoint', config.endpoint)
    const sdk = await import('@aws-sdk/client-s3').catch(cause => {
      throw new OperatorError('S3 block store is not available', { cause })
    })
    return new S3Store(sdk, config, network)
  }

  private constructor(sdk: Sdk, config: S3Config, network: NetworkOptions) {
    super(network)
    const { endpoint, region, bucket, key, secret } = config
    this.keys = { blockstore_type: 'S3', s3_region: region, s3_bucket: bucket }
    this.#sdk = sdk
    this.#bucket = bucket
    this.host = endpoint === null ? `Amazon ${region}` : new URL(endpoint).host
    this.#where = `bucket \`${bucket}\` at ${this.host}`
    this.#client = new sdk.S3Client({
      region,
      ...(endpoint !== null && { endpoint, forcePathStyle: true }),
      credentials: { accessKeyId: key, secretAccessKey: secret },
      maxAttempts: 1,
      // Every service verifies Content-MD5, which we send; not every one knows the newer checksums.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: {
        httpAgent: this.agents.http,
        httpsAgent: this.agents.https,
        connectionTimeout: STORE_CONNECT_MS,
      },
      logger: silent,
    })
    // The SDK asks for `/bucket/`; some look-alikes only know `/bucket`.
    this.#client.middlewareStack.add(
      next => args => {
        const request = args.request as { path?: string }
        if (request.path && request.path.length > 1) request.path = request.path.replace(/\/$/, '')
        return next(args)
      },
      { step: 'build', name: 'withoutTrailingSlash' },
    )
  }

  protected ask(signal: AbortSignal): Promise<unknown> {
    const head = new this.#sdk.HeadBucketCommand({ Bucket: this.#bucket })
    return this.#attempts(signal, abortSignal => this.#client.send(head, { abortSignal }), READ)
  }
  protected refusal(message: string, isAway: boolean): string {
    return isAway
      ? `S3 block store: ${this.#where} cannot be reached (${message})`
      : `S3 block store: ${this.#where} answered ${message}; check that the bucket exists and that the key of --blockstore may use it`
  }

  async *list(after: string, signal: AbortSignal): AsyncIterable<StoredObject> {
    let last = after
    for (;;) {
      const page = new this.#sdk.ListObjectsV2Command({
        Bucket: this.#bucket,
        ...(last !== '' && { StartAfter: last }),
      })
      const { Contents = [], IsTruncated } = await this.#attempts(
        signal,
        abortSignal => this.#client.send(page, { abortSignal }),
        READ,
      )
      for (const { Key, LastModified } of Contents)
        if (Key !== undefined) yield { key: Key, writtenOn: LastModified?.getTime() ?? null }
      if (!IsTruncated || Contents.length === 0) return
      last = Contents.at(-1)!.Key!
    }
  }
  async remove(Key: string, signal: AbortSignal): Promise<void> {
    const object = { Bucket: this.#bucket, Key }
    await this.#attempts(signal, abortSignal =>
      this.#client.send(new this.#sdk.DeleteObjectCommand(object), { abortSignal }),
    )
  }
  override async close(): Promise<void> {
    this.#client.destroy()
    await super.close()
  }

  protected async put(Key: string, data: Buffer, signal: AbortSignal): Promise<void> {
    const object = {
      Bucket: this.#bucket,
      Key,
      Body: data,
      ContentLength: data.length,
      ContentMD5: createHash('md5').update(data).digest('base64'),
    }
    await this.#attempts(signal, abortSignal =>
      this.#client.send(new this.#sdk.PutObjectCommand(object), { abortSignal }),
    )
  }
  protected async get(Key: string, signal: AbortSignal): Promise<Buffer> {
    try {
      const get = async (abortSignal: AbortSignal): Promise<Buffer> => {
        const command = new this.#sdk.GetObjectCommand({ Bucket: this.#bucket, Key })
        const { Body, ContentLength } = await this.#client.send(command, { abortSignal })
        return await readBody(Body as Readable, ContentLength, abortSignal)
      }
      return await this.#attempts(signal, get, READ)
    } catch (error) {
      if (error instanceof AttemptError && error.status === 404 && error.message.startsWith('NoSuchKey')) {
        throw new StoreError('no such object', { missing: true, cause: error })
      }
      throw error
    }
  }

  #attempts<T>(signal: AbortSignal, attempt: (signal: AbortSignal) => Promise<T>, kind = {}): Promise<T> {
    const judged = async (attemptSignal: AbortSignal): Promise<T> => {
      try {
        return await attempt(attemptSignal)
      } catch (error) {
        throw attemptSignal.aborted ? attemptSignal.reason : judge(error)
      }
    }
    return this.attempts(signal, judged, kind)
  }
}

type SdkError = Error & {
  code?: string
  $metadata?: { httpStatusCode?: number; clockSkewCorrected?: boolean }
}

/** Refusals (400) of what the network changed or delayed on its way. */
const TRANSIENT_NAMES = new Set(['BadDigest', 'XAmzContentSHA256Mismatch', 'IncompleteBody', 'RequestTimeout'])

/** Only the name and the status go into the text: what the service says may quote credentials. */
function judge(cause: unknown): AttemptError {
  if (cause instanceof AttemptError) return cause
  const { name, message, code, $metadata } = cause as SdkError
  const status = $metadata?.httpStatusCode
  if (status === undefined) {
    const text = code ?? (name === 'TimeoutError' ? 'no connection in time' : `${name}: ${message}`)
    return new AttemptError(text, { transient: isTransientCode(code) || name === 'TimeoutError', cause })
  }
  const transient = isTransientStatus(status) || TRANSIENT_NAMES.has(name) || $metadata?.clockSkewCorrected === true
  return new AttemptError(`${name} (${status})`, { transient, status, cause })
}
