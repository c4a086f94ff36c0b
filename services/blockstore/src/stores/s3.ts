/** Blocks in a bucket of an S3 service (spec 06 §7.3). The SDK signs and sends; retries and deadlines are ours. */

import { createHash } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { S3Client } from '@aws-sdk/client-s3'
import type { Uuid } from '@parsec/shared/codec/values'
import { STORE_ATTEMPT_MS, STORE_CONNECT_MS, STORE_OPEN_MS } from '@parsec/shared/deadlines'
import { OperatorError } from '@parsec/shared/errors'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import { MARKER_KEY } from '../identity/marker.ts'
import { AttemptError, isTransientCode, isTransientStatus, withRetries } from './attempts.ts'
import { readBody } from './body.ts'
import { withDeadline } from './deadline.ts'
import { type Five, withScheme } from './fields.ts'
import type { StoreKind } from './kind.ts'
import { type Agents, makeAgents, type NetworkOptions } from './network.ts'
import {
  type MarkerPlace,
  nullIfMissing,
  type ObjectStore,
  objectKey,
  readByKeys,
  type StoredObject,
  StoreError,
} from './store.ts'

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

export class S3Store implements ObjectStore {
  readonly keys: { blockstore_type: 'S3'; s3_region: string; s3_bucket: string }
  /** Names the service for people. */
  readonly host: string
  readonly #sdk: Sdk
  readonly #client: S3Client
  readonly #agents: Agents
  readonly #attemptMs: number
  readonly #bucket: string
  readonly #where: string

  /** Loads the SDK. Throws `OperatorError` when it is not installed or a setting cannot work. */
  static async make(config: S3Config, network: NetworkOptions): Promise<S3Store> {
    for (const field of ['region', 'bucket', 'key', 'secret'] as const) {
      if (config[field] === '') throw new OperatorError(`S3 block store: empty ${field}; fill it in (--blockstore)`)
    }
    if (config.endpoint !== null && !URL.canParse(config.endpoint)) {
      throw new OperatorError(
        `S3 block store: invalid endpoint \`${config.endpoint}\`; give a host or a URL (--blockstore)`,
      )
    }
    const sdk = await import('@aws-sdk/client-s3').catch(cause => {
      throw new OperatorError('S3 block store is not available', { cause })
    })
    return new S3Store(sdk, config, makeAgents(network), network.attemptMs ?? STORE_ATTEMPT_MS)
  }

  private constructor(sdk: Sdk, config: S3Config, agents: Agents, attemptMs: number) {
    const { endpoint, region, bucket, key, secret } = config
    this.keys = { blockstore_type: 'S3', s3_region: region, s3_bucket: bucket }
    this.#sdk = sdk
    this.#agents = agents
    this.#attemptMs = attemptMs
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
      requestHandler: { httpAgent: agents.http, httpsAgent: agents.https, connectionTimeout: STORE_CONNECT_MS },
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

  /** Asks for the bucket. Throws `OperatorError` when it does not exist or is not ours, `StoreError` when it is away. */
  async open(): Promise<void> {
    try {
      const ask = (abortSignal: AbortSignal) =>
        this.#client.send(new this.#sdk.HeadBucketCommand({ Bucket: this.#bucket }), { abortSignal })
      await withDeadline(null, STORE_OPEN_MS, signal => this.#attempts(signal, ask, READ))
    } catch (error) {
      const { message } = error as Error
      if (error instanceof AttemptError && error.status !== null && !error.transient) {
        throw new OperatorError(
          `S3 block store: ${this.#where} answered ${message}; check that the bucket exists and that the key of --blockstore may use it`,
        )
      }
      throw new StoreError(`S3 block store: ${this.#where} cannot be reached (${message})`, { cause: error })
    }
  }

  read(organization_id: OrganizationID, block_id: Uuid, signal: AbortSignal): Promise<Buffer> {
    return readByKeys(organization_id, block_id, key => this.#get(key, signal))
  }

  create(organization_id: OrganizationID, block_id: Uuid, data: Buffer, signal: AbortSignal): Promise<void> {
    return this.#put(objectKey(organization_id, block_id), data, signal)
  }

  readonly marker: MarkerPlace = {
    read: signal => nullIfMissing(this.#get(MARKER_KEY, signal)),
    write: (data, signal) => this.#put(MARKER_KEY, data, signal),
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
  async close(): Promise<void> {
    this.#client.destroy()
    this.#agents.http.destroy()
    this.#agents.https.destroy()
  }

  async #put(Key: string, data: Buffer, signal: AbortSignal): Promise<void> {
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
  async #get(Key: string, signal: AbortSignal): Promise<Buffer> {
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
    return withRetries(signal, this.#attemptMs, judged, kind)
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
