/** The real object stores under test, each with a side door to look at and change single objects. */
import type { NodeConfig } from '@parsec/blockstore/stores/registry'
import { backing } from '../harness/backing.ts'
import {
  ask,
  SWIFT_PASSWORD,
  SWIFT_TENANT,
  SWIFT_USER,
  type SwiftV1,
  startSwiftV1,
  storageRequest,
} from './swift-v1.ts'

export type BackEnd = {
  readonly name: string
  /** Where it listens; a proxy may stand in between. */
  readonly url: string
  /** Where its login sends clients for objects, when that is somewhere else. */
  readonly storageUrl?: string
  /** The configuration of a store that reaches it at `url`. */
  store(url: string): NodeConfig
  /** A request on an object by its key. */
  request(method: string, key: string, body?: Buffer): Promise<Response>
}

export type BackEnds = { readonly s3: BackEnd; readonly keystone: BackEnd; readonly swift: BackEnd }
export type StartedBackEnds = BackEnds & {
  /** The same servers with another container, which is created. */
  another(container: string): Promise<BackEnds>
  stop(): Promise<void>
}

/**
 * S3 API, Swift with Keystone v3 (which names the real address of its storage) and Swift v1. `own`: a name for containers
 * that nobody else uses, for those who list them.
 */
export async function startBackEnds(own?: string): Promise<StartedBackEnds> {
  const env = await backing('swift')
  const swiftV1 = await startSwiftV1(own)
  if (own !== undefined) await keystoneRequest(env, 'PUT', own)
  return {
    ...backEndsOf(env, own ?? env['TEST_SWIFT_CONTAINER']!, swiftV1),
    another: async container => {
      const v1 = { url: swiftV1.url, container }
      const created = await Promise.all([keystoneRequest(env, 'PUT', container), storageRequest(v1, 'PUT', '')])
      for (const { ok, status } of created) if (!ok) throw new Error(`container: ${status}`)
      return backEndsOf(env, container, v1)
    },
    stop: () => swiftV1.stop(),
  }
}

function backEndsOf(env: Environment, container: string, v1: Pick<SwiftV1, 'url' | 'container'>): BackEnds {
  const request = (method: string, key: string, body?: Buffer) =>
    keystoneRequest(env, method, `${container}/${key}`, body)
  const s3: BackEnd = {
    name: 'S3',
    url: env['TEST_S3_ENDPOINT']!,
    store: endpoint => ({
      type: 'S3',
      endpoint,
      region: env['TEST_S3_REGION']!,
      bucket: container,
      key: env['TEST_S3_ACCESS_KEY_ID']!,
      secret: env['TEST_S3_SECRET_ACCESS_KEY']!,
    }),
    request,
  }
  const keystone: BackEnd = {
    name: 'Swift with Keystone v3',
    url: env['OS_AUTH_BASE_URL']!,
    storageUrl: env['TEST_SWIFT_PROXY_URL']!,
    store: url => ({
      type: 'SWIFT',
      authUrl: `${url}/v3`,
      tenant: env['OS_PROJECT_NAME']!,
      container,
      user: env['OS_USERNAME']!,
      password: env['OS_PASSWORD']!,
    }),
    request,
  }
  const swift: BackEnd = {
    name: 'Swift v1',
    url: v1.url,
    store: url => ({
      type: 'SWIFT',
      authUrl: `${url}/auth/v1.0`,
      tenant: SWIFT_TENANT,
      container: v1.container,
      user: SWIFT_USER,
      password: SWIFT_PASSWORD,
    }),
    request: (method, key, body) => storageRequest(v1, method, key, body),
  }
  return { s3, keystone, swift }
}

type Environment = { readonly [name: string]: string }
async function keystoneRequest(env: Environment, method: string, path: string, body?: Buffer): Promise<Response> {
  const domain = { name: 'Default' }
  const user = { name: env['OS_USERNAME'], domain, password: env['OS_PASSWORD'] }
  const login = await ask(`${env['OS_AUTH_URL']}/auth/tokens`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({
      auth: {
        identity: { methods: ['password'], password: { user } },
        scope: { project: { name: env['OS_PROJECT_NAME'], domain } },
      },
    }),
  })
  const target = `${env['TEST_SWIFT_PROXY_URL']}/v1/AUTH_${env['OS_PROJECT_ID']}/${encodeURI(path)}`
  const headers = { 'X-Auth-Token': login.headers.get('x-subject-token')! }
  await login.body?.cancel()
  return ask(target, { method, headers, ...(body && { body: new Uint8Array(body) }) })
}
