/**
 * Blocks in a container of OpenStack Swift (spec 06 §7.4), through pkgcloud. That library has no time-outs and reports
 * some failures as success, so nothing is done until Swift has stated the MD5 that we computed; logins are our own.
 */

import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { STORE_LOGIN_MS } from '@parsec/shared/deadlines'
import { OperatorError } from '@parsec/shared/errors'
import { limits } from '@parsec/shared/limits'
import type { ClientError, Identity, SendOptions, StorageClient } from 'pkgcloud'
import { AttemptError, isTransientCode, isTransientStatus } from './attempts.ts'
import { orAborted, withDeadline } from './deadline.ts'
import { type Five, withScheme } from './fields.ts'
import type { StoreKind } from './kind.ts'
import type { NetworkOptions } from './network.ts'
import { RemoteStore, refuseBadUrl, refuseEmpty } from './remote.ts'
import { type StoredObject, StoreError } from './store.ts'
import { login, type SwiftSession } from './swift-login.ts'

type Answer = { body: Buffer; response: IncomingMessage }

/** Objects that a list asks for at once. */
const LIST_PAGE = 1_000
/** Swift's status for a body whose MD5 is not the announced one. */
const UNPROCESSABLE = 422

export type SwiftConfig = {
  type: 'SWIFT'
  authUrl: string
  tenant: string
  container: string
  user: string
  password: string
}

export const SWIFT: StoreKind<SwiftConfig> = {
  type: 'SWIFT',
  form: 'swift:<auth_url>:<tenant>:<container>:<user>:<password>',
  help: 'a container of OpenStack Swift',
  parse(fields) {
    if (fields.length !== 5) return null
    const [authUrl, tenant, container, user, password] = fields as Five
    return { type: 'SWIFT', authUrl: authUrl === '' ? '' : withScheme(authUrl), tenant, container, user, password }
  },
  secrets: ({ password }) => [password],
  keySpace: ({ authUrl, tenant, container }) => [authUrl, tenant, container],
  async make(config, { network }) {
    const store = await SwiftStore.make(config, network)
    return { name: `Swift ${config.container} at ${store.host}`, store }
  },
}

class SwiftStore extends RemoteStore {
  readonly keys: { blockstore_type: 'Swift'; authurl: string; container: string }
  readonly host: string
  readonly #config: SwiftConfig
  readonly #client: StorageClient
  readonly #identity: SessionIdentity
  readonly #where: string
  #session: Promise<SwiftSession> | null = null

  /** Loads pkgcloud. Throws `OperatorError` when it is not installed or a setting cannot work. */
  static async make(config: SwiftConfig, network: NetworkOptions): Promise<SwiftStore> {
    refuseEmpty('Swift', config, ['tenant', 'container', 'user', 'password'])
    refuseBadUrl('Swift', 'auth URL', config.authUrl)
    const { default: pkgcloud } = await import('pkgcloud').catch(cause => {
      throw new OperatorError(
        'Swift block store is not available: it needs the package pkgcloud, which is not installed with the server; run `npm install --global pkgcloud@2.2.0`',
        { cause },
      )
    })
    return new SwiftStore(pkgcloud.storage.createClient, config, network)
  }

  private constructor(
    createClient: typeof import('pkgcloud').default.storage.createClient,
    config: SwiftConfig,
    network: NetworkOptions,
  ) {
    super(network)
    const { host, origin, pathname } = new URL(config.authUrl)
    this.host = host
    this.keys = { blockstore_type: 'Swift', authurl: origin + pathname, container: config.container }
    this.#where = `container \`${config.container}\` at ${this.keys.authurl}`
    this.#config = config
    this.#client = createClient({
      provider: 'openstack',
      authUrl: config.authUrl,
      earlyTokenTimeout: 0,
      identity: SessionIdentity,
    })
    this.#identity = this.#client._identity as SessionIdentity
    this.#client.before.push(options => {
      options.json = false
      options.encoding = null
      options.followRedirect = false
      // The agents know the proxies; without this the library would look for them by itself.
      options.proxy = null
      options.agent = this.#identity.getServiceEndpointUrl().startsWith('https:') ? this.agents.https : this.agents.http
    })
  }

  /** Logs in first. */
  protected ask(signal: AbortSignal): Promise<unknown> {
    return this.#attempts(signal, [200, 204], { method: 'HEAD', container: this.#config.container, headers: {} })
  }
  protected refusal(message: string, isAway: boolean): string {
    return isAway
      ? `Swift block store: ${this.#where} cannot be reached (${message})`
      : `Swift block store: ${this.#where}: ${message}; check that the container exists and that the user of --blockstore may use it`
  }

  async *list(after: string, signal: AbortSignal): AsyncIterable<StoredObject> {
    const { container } = this.#config
    let marker = after
    for (;;) {
      const qs = { format: 'json', limit: LIST_PAGE, marker }
      const answer = await this.#attempts(signal, [200, 204], { method: 'GET', container, headers: {}, qs })
      const page = parseListing(answer.body)
      for (const { name, last_modified } of page)
        yield { key: name, writtenOn: Date.parse(`${last_modified}Z`) || null }
      if (page.length === 0) return
      marker = page.at(-1)!.name
    }
  }
  async remove(path: string, signal: AbortSignal): Promise<void> {
    const { container } = this.#config
    await this.#attempts(signal, [204, 200, 404], { method: 'DELETE', container, path, headers: {} })
  }

  /** Done when Swift has confirmed the MD5 of what it stored, with the answer or when asked for it. */
  protected async put(path: string, data: Buffer, signal: AbortSignal): Promise<void> {
    const { container } = this.#config
    const etag = md5(data)
    const headers = { ETag: etag, 'Content-Length': data.length, 'Content-Type': 'application/octet-stream' }
    await this.#attempts(
      signal,
      [200, 201],
      { method: 'PUT', container, path, headers, body: data },
      async (answer, signal) => {
        if (etagOf(answer) === etag) return
        const head = await this.#send({ method: 'HEAD', container, path, headers: {} }, [200, 204], signal)
        const stored = Number(head.response.headers['content-length'])
        if (etagOf(head) === etag && stored === data.length) return
        throw new AttemptError(`stored ${stored} bytes with ETag ${etagOf(head)}, not ${data.length} with ${etag}`, {
          transient: true,
        })
      },
    )
  }

  protected async get(path: string, signal: AbortSignal): Promise<Buffer> {
    try {
      const { container } = this.#config
      const options = { method: 'GET', container, path, headers: {} } as const
      const { body } = await this.#attempts(signal, [200], options, async answer => {
        const announced = Number(answer.response.headers['content-length'] ?? answer.body.length)
        const etag = etagOf(answer)
        if (answer.body.length !== announced) {
          throw new AttemptError(`${answer.body.length} of ${announced} bytes`, { transient: true })
        }
        if (etag && /^[0-9a-f]{32}$/.test(etag) && md5(answer.body) !== etag) {
          throw new AttemptError('the body does not have the MD5 of its ETag', { transient: true })
        }
      })
      return body
    } catch (error) {
      if (!(error instanceof AttemptError && error.status === 404)) throw error
      throw new StoreError('no such object', { missing: true, cause: error })
    }
  }

  #attempts(
    signal: AbortSignal,
    successes: readonly number[],
    options: SendOptions,
    check: (answer: Answer, signal: AbortSignal) => Promise<void> = async () => {},
  ): Promise<Answer> {
    const attempt = async (attemptSignal: AbortSignal): Promise<Answer> => {
      const answer = await this.#send(options, successes, attemptSignal)
      await check(answer, attemptSignal)
      return answer
    }
    return this.attempts(signal, attempt, { isRead: ['GET', 'HEAD'].includes(options.method) })
  }

  /** One request; with a new login when the token is refused, once. */
  async #send(options: SendOptions, successes: readonly number[], signal: AbortSignal): Promise<Answer> {
    for (let renewed = false; ; renewed = true) {
      const pending = this.#login()
      const session = await orAborted(pending, signal)
      const answer = await this.#exchange(options, session, signal)
      const status = answer.response.statusCode!
      if (successes.includes(status)) return answer
      if (status === 401 && this.#session === pending) this.#session = null
      if (status === 401 && !renewed) continue
      throw new AttemptError(`${options.method} (${status})`, {
        transient: isTransientStatus(status) || status === UNPROCESSABLE,
        status,
      })
    }
  }

  /** The session, or the one login that everybody waits for. */
  #login(): Promise<SwiftSession> {
    if (this.#session) return this.#session
    const session = withDeadline(null, STORE_LOGIN_MS, signal => login(this.#config, this.agents, signal))
    this.#session = session
    session.catch(() => {
      if (this.#session === session) this.#session = null
    })
    return session
  }

  #exchange(options: SendOptions, session: SwiftSession, signal: AbortSignal): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    // The client reads the session before `_request` returns, so that requests of different sessions do not mix.
    this.#identity.use(session)
    this.#client.auth(() => {})
    const exchange = this.#client._request({ ...options, headers: { ...options.headers } }, (error, body, response) => {
      const status = response?.statusCode ?? error?.statusCode
      if (status === undefined) reject(judge(error!))
      else
        resolve({
          body: body ?? EMPTY,
          response: response ?? ({ statusCode: status, headers: error!.headers ?? {} } as IncomingMessage),
        })
    })
    exchange.on('response', (response: IncomingMessage) => {
      // Some servers send the end marker of a body behind the answer to a HEAD, which breaks the connection.
      if (options.method === 'HEAD') resolve({ body: EMPTY, response })
      else if (Number(response.headers['content-length']) > limits.object.value) {
        exchange.abort()
        reject(new AttemptError(`object over ${limits.object.value} bytes`, { transient: false }))
      }
    })
    const onAbort = () => {
      exchange.abort()
      reject(signal.reason)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    return promise.finally(() => signal.removeEventListener('abort', onAbort))
  }
}

/** Tells pkgcloud the session of the request that is about to be sent. */
class SessionIdentity implements Identity {
  token: Identity['token']
  #session: SwiftSession | null = null

  /** Without a token the client takes token and address anew. */
  use(session: SwiftSession): void {
    this.#session = session
    this.token = undefined
  }
  authorize(callback: () => void): void {
    this.token = { id: this.#session!.token, expires: NEVER }
    callback()
  }
  getServiceEndpointUrl(): string {
    return this.#session!.storageUrl
  }
  on(): void {}
}

type Listing = { name: string; last_modified: string }[]
function parseListing(body: Buffer): Listing {
  try {
    return body.length === 0 ? [] : JSON.parse(body.toString())
  } catch (cause) {
    throw new AttemptError('the list of objects is no JSON', { transient: true, cause })
  }
}

const NEVER = new Date(8.64e15)
const EMPTY = Buffer.alloc(0)

const md5 = (data: Buffer): string => createHash('md5').update(data).digest('hex')
const etagOf = ({ response }: Answer): string | undefined => response.headers.etag?.replace(/^"|"$/g, '')

function judge(cause: ClientError): AttemptError {
  const { code, message } = cause
  return new AttemptError(code ?? message, { transient: isTransientCode(code) || message === 'aborted', cause })
}
