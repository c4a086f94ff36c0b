/** A Swift proxy with Swift's own authentication (v1), beside the one of the backing services and on the same storage. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { backing, isListening } from '../harness/backing.ts'
import { Child } from '../harness/child.ts'
import { freePort } from '../harness/ports.ts'

/** In Swift's own terms `user` is the account and `tenant` a user of it: `X-Auth-User: <user>:<tenant>`. */
export const SWIFT_USER = 'user1'
export const SWIFT_TENANT = 'tenant1'
export const SWIFT_PASSWORD = 'swift-v1-password'
const SWIFT_CONTAINER = 'blocks'

const MAX_ATTEMPTS = 4

export type SwiftV1 = { readonly url: string; readonly container: string; stop(): Promise<void> }

/** Resolves when it serves and the container exists. */
export async function startSwiftV1(container = SWIFT_CONTAINER): Promise<SwiftV1> {
  await backing('swift')
  const state = process.env['STATE_DIR'] ?? join(tmpdir(), 'parsec-test-services')
  const folder = await mkdtemp(join(tmpdir(), 'parsec-swift-'))
  const port = await freePort()
  const config = join(folder, 'proxy-server.conf')
  const backingConfig = await readFile(join(state, 'swift/etc/proxy-server.conf'), 'utf8')
  await writeFile(config, withTempauth(backingConfig, port))
  const child = new Child('swift-proxy', 'swift-proxy-server', [config], { PATH: process.env['PATH'] })
  await child.until(() => isListening(port))
  const url = `http://127.0.0.1:${port}`
  const swift: SwiftV1 = {
    url,
    container,
    stop: async () => {
      await child.end()
      await rm(folder, { recursive: true, force: true })
    },
  }
  const created = await storageRequest(swift, 'PUT', '')
  if (!created.ok) throw new Error(`container: ${created.status}\n${child.output}`)
  return swift
}

/** A request on the container or, with a path, on one of its objects, beside the store under test. */
export async function storageRequest(
  { url, container }: Pick<SwiftV1, 'url' | 'container'>,
  method: string,
  path: string,
  body?: Buffer,
): Promise<Response> {
  const headers = { 'X-Auth-User': `${SWIFT_USER}:${SWIFT_TENANT}`, 'X-Auth-Key': SWIFT_PASSWORD }
  const login = await ask(`${url}/auth/v1.0`, { headers })
  const storage = login.headers.get('x-storage-url')
  const token = login.headers.get('x-auth-token')
  if (!storage || !token) throw new Error(`login: ${login.status}`)
  const target = `${storage}/${container}${path === '' ? '' : `/${encodeURI(path)}`}`
  return ask(target, { method, headers: { 'X-Auth-Token': token }, ...(body && { body: new Uint8Array(body) }) })
}

/** Like `fetch`, for requests that may be repeated: Swift closes connections that look unused. */
export async function ask(url: string, init: RequestInit): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await fetch(url, init)
    } catch (error) {
      if (attempt === MAX_ATTEMPTS) throw error
    }
  }
}

/** The backing proxy's own configuration, with another port and other authentication. */
const withTempauth = (configuration: string, port: number): string =>
  `${configuration
    .replace(/^bind_port = .*$/m, `bind_port = ${port}`)
    .replace(/^pipeline = .*$/m, 'pipeline = catch_errors gatekeeper cache tempauth proxy-server')}
[filter:tempauth]
use = egg:swift#tempauth
user_${SWIFT_USER}_${SWIFT_TENANT} = ${SWIFT_PASSWORD} .admin
`
