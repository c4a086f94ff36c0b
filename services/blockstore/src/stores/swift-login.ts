/**
 * Logins of OpenStack: Swift's own v1 (spec 06 §7.4), and Keystone v2.0 and v3 when the URL ends in that version.
 * Keystone users and projects are taken from the domain `Default`, the endpoint is the first public one.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { AttemptError, isTransientCode, isTransientStatus } from './attempts.ts'
import { readBody } from './body.ts'
import type { Agents } from './network.ts'

export type SwiftAccount = { authUrl: string; tenant: string; user: string; password: string }
/** What every request needs: a token, and the address of the account's containers. */
export type SwiftSession = { token: string; storageUrl: string }

/** Rejects with an `AttemptError` that carries the status, which is lasting for wrong credentials. */
export function login(account: SwiftAccount, agents: Agents, signal: AbortSignal): Promise<SwiftSession> {
  const url = account.authUrl.replace(/\/+$/, '')
  if (url.endsWith('/v3')) return loginV3(`${url}/auth/tokens`, account, agents, signal)
  if (url.endsWith('/v2.0')) return loginV2(`${url}/tokens`, account, agents, signal)
  return loginV1(account, agents, signal)
}

async function loginV1(account: SwiftAccount, agents: Agents, signal: AbortSignal): Promise<SwiftSession> {
  const { authUrl, user, tenant, password } = account
  const headers = { 'X-Auth-User': utf8(`${user}:${tenant}`), 'X-Auth-Key': utf8(password) }
  const answer = await exchange('GET', authUrl, headers, undefined, agents, signal)
  return session(answer.headers['x-storage-token'] ?? answer.headers['x-auth-token'], answer.headers['x-storage-url'])
}

/** A header whose bytes are the text in UTF-8. */
const utf8 = (text: string): string => Buffer.from(text).toString('latin1')

type CatalogV2 = { type: string; endpoints: { publicURL: string }[] }[]
async function loginV2(url: string, account: SwiftAccount, agents: Agents, signal: AbortSignal): Promise<SwiftSession> {
  const { tenant, user, password } = account
  const request = { auth: { tenantName: tenant, passwordCredentials: { username: user, password } } }
  const { body } = await exchange('POST', url, JSON_HEADERS, JSON.stringify(request), agents, signal)
  const { access } = parse<{ access?: { token: { id: string }; serviceCatalog: CatalogV2 } }>(body)
  const endpoint = access?.serviceCatalog?.find(service => service.type === 'object-store')?.endpoints[0]
  return session(access?.token?.id, endpoint?.publicURL)
}

type CatalogV3 = { type: string; endpoints: { interface: string; url: string }[] }[]
async function loginV3(url: string, account: SwiftAccount, agents: Agents, signal: AbortSignal): Promise<SwiftSession> {
  const { tenant, user, password } = account
  const domain = { name: 'Default' }
  const identity = { methods: ['password'], password: { user: { name: user, domain, password } } }
  const request = { auth: { identity, scope: { project: { name: tenant, domain } } } }
  const { headers, body } = await exchange('POST', url, JSON_HEADERS, JSON.stringify(request), agents, signal)
  const { token } = parse<{ token?: { catalog: CatalogV3 } }>(body)
  const endpoints = token?.catalog?.find(service => service.type === 'object-store')?.endpoints
  return session(headers['x-subject-token'], endpoints?.find(endpoint => endpoint.interface === 'public')?.url)
}

const JSON_HEADERS = { 'Content-Type': 'application/json', Accept: 'application/json' }

function session(token: unknown, storageUrl: unknown): SwiftSession {
  if (typeof token !== 'string' || token === '') throw new AttemptError('the login gave no token', { transient: false })
  if (typeof storageUrl !== 'string' || !URL.canParse(storageUrl)) {
    throw new AttemptError('the login named no object store', { transient: false })
  }
  return { token, storageUrl }
}

function parse<T>(body: Buffer): T {
  try {
    return JSON.parse(body.toString())
  } catch (cause) {
    throw new AttemptError('the login was answered with something else than JSON', { transient: false, cause })
  }
}

type Answer = { headers: IncomingHttpHeaders; body: Buffer }
function exchange(
  method: string,
  url: string,
  headers: { [name: string]: string },
  body: string | undefined,
  agents: Agents,
  signal: AbortSignal,
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const [request, agent] = url.startsWith('https:') ? [httpsRequest, agents.https] : [httpRequest, agents.http]
  const length = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) }
  const outgoing = request(url, { method, agent, signal, headers: { ...headers, ...length } }, response => {
    const status = response.statusCode!
    const announced = Number(response.headers['content-length'])
    readBody(response, Number.isNaN(announced) || method === 'HEAD' ? undefined : announced, signal).then(bytes => {
      if (status >= 200 && status < 300) resolve({ headers: response.headers, body: bytes })
      else reject(new AttemptError(`login refused (${status})`, { transient: isTransientStatus(status), status }))
    }, reject)
  })
  outgoing.on('error', cause => {
    const { code, message } = cause as NodeJS.ErrnoException
    reject(
      signal.aborted
        ? signal.reason
        : new AttemptError(`login: ${code ?? message}`, { transient: isTransientCode(code), cause }),
    )
  })
  outgoing.end(body)
  return promise
}
