/** The administration API of a running server, as a client of it. */
import { ADMIN_CALL_MS } from '@parsec/shared/deadlines'
import { OperatorError } from '@parsec/shared/errors'
import { secretsOfTokens } from '@parsec/shared/http/administration-tokens'

// biome-ignore lint/suspicious/noExplicitAny: the server's OpenAPI document says what an answer has
export type Json = any
export type Query = { readonly [name: string]: string | number | undefined }
type Call = { method: string; path: string; query?: Query; body?: object }
export type Answer = { status: number; json: Json }

/** Most items of one answer. */
const PAGE = 1000

export class AdminApi {
  readonly #server: URL
  readonly #token: string
  constructor(server: URL, token: string) {
    this.#server = server
    this.#token = token
  }

  get(path: string, query: Query = {}): Promise<Json> {
    return this.#ok({ method: 'GET', path, query })
  }
  send(method: 'POST' | 'PATCH' | 'DELETE', path: string, body: object = {}): Promise<Json> {
    return this.#ok({ method, path, body })
  }
  /** Items of a list, page by page, at most `most`; what the first answer says besides is kept. */
  async list(path: string, name: string, query: Query, most: number): Promise<Json> {
    let cursor: string | undefined
    let whole: Json
    do {
      const left = most - (whole?.[name].length ?? 0)
      const page = await this.get(path, { ...query, limit: Math.min(left, PAGE), cursor })
      if (whole) whole[name].push(...page[name])
      else whole = page
      cursor = page.next_cursor ?? undefined
    } while (cursor !== undefined && whole[name].length < most)
    delete whole.next_cursor
    return whole
  }
  /** The answer, whatever its status. Throws `OperatorError` when there is none, or the token is not right. */
  async call({ method, path, query = {}, body }: Call): Promise<Answer> {
    const url = new URL(`administration${path}`, this.#server)
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, String(value))
    const where = this.#server.href
    let response: Response
    try {
      response = await fetch(url, {
        method,
        headers: { authorization: `Bearer ${this.#token}`, accept: 'application/json' },
        ...(body && { body: JSON.stringify(body) }),
        redirect: 'error',
        signal: AbortSignal.timeout(ADMIN_CALL_MS),
      })
    } catch (error) {
      throw new OperatorError(`--server ${where}: ${reasonOf(error as Error)}`, { cause: error })
    }
    const json: Json = await response.json().catch(() => undefined)
    const { status } = response
    if (json === undefined)
      throw new OperatorError(`--server ${where}: no administration API answers there (HTTP status ${status})`)
    if (status === 403)
      throw new OperatorError(
        json.reason ?? 'the server refuses the token: is it one of its --administration-token-file?',
      )
    return { status, json }
  }
  async #ok(call: Call): Promise<Json> {
    const { status, json } = await this.call(call)
    if (status < 300) return json
    throw new OperatorError(refusalOf(json))
  }
}

/** What the server's code means, where it gives no reason. */
const MEANINGS: { readonly [code: string]: string } = {
  not_found: 'there is no such organization',
  user_not_found: 'there is no such user in this organization',
  connection_not_found: 'there is no such connection (any more)',
  already_exists: 'the organization exists, and its first user has bootstrapped it',
  already_bootstrapped: 'the organization has been bootstrapped: its link is void',
  user_revoked: 'the user is revoked, and cannot connect anyway',
  too_many_requests: 'too many wrong tokens from this address: wait a few seconds',
  unavailable: 'a service of the server is away: try again',
}
const refusalOf = ({ error, reason }: Json): string => reason ?? MEANINGS[error] ?? String(error)

const reasonOf = ({ name, message, cause }: Error): string => {
  if (name === 'TimeoutError') return 'no answer in time'
  const { code, message: why } = (cause ?? {}) as { code?: string; message?: string }
  if (code === 'DEPTH_ZERO_SELF_SIGNED_CERT' || code === 'UNABLE_TO_VERIFY_LEAF_SIGNATURE')
    return `${why}: name the certificate of its authority in NODE_EXTRA_CA_CERTS`
  return why || code || message
}

/** The token of a file that may be the server's own: of several the first that is not hashed. Throws a plain `Error`. */
export function tokenOf(text: string): string {
  const [token] = secretsOfTokens(text)
  if (token === undefined) throw new Error('has no token, or only hashes of some.')
  return token
}
