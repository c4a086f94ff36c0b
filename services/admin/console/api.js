/**
 * The administration API, as everybody else calls it. The token is in the memory of this tab only: a reload forgets it.
 */

/** A deletion works for 20 s before it answers; a server that is silent for longer is not there. */
const DEADLINE_MS = 60_000

const session = { token: '', onRefused: () => {} }

/** `onRefused`: called when the server takes the token no longer. */
export function signIn(token, onRefused) {
  Object.assign(session, { token, onRefused })
}
export function signOut() {
  Object.assign(session, { token: '', onRefused: () => {} })
}

/** `code` is for programs (`not_found`), `message` for people. */
export class ApiError extends Error {
  constructor(status, { error = 'unknown', reason, ...more } = {}) {
    super(reason ?? MESSAGES[error] ?? `The server answered ${status} (${error}).`)
    this.status = status
    this.code = error
    this.more = more
  }
}
const MESSAGES = {
  not_allowed: 'The server does not know this token.',
  not_found: 'There is no such organization.',
  user_not_found: 'There is no such user.',
  user_revoked: 'A revoked user can be neither frozen nor unfrozen.',
  connection_not_found: 'That connection is closed already.',
  already_exists: 'There is an organization of this name, and somebody uses it.',
  already_bootstrapped: 'Somebody has used the link of this organization.',
  too_many_requests: 'Too many wrong tokens came from your address: try again in a few seconds.',
  unavailable: 'A service of the server is away: try again.',
  mail_not_configured: 'The server was started without --email-host: it sends no mails.',
}

export const get = (path, query, signal) => call('GET', path, { query, signal })
export const post = (path, body) => call('POST', path, { body })
export const patch = (path, body) => call('PATCH', path, { body })
export const remove = (path, query) => call('DELETE', path, { query })

/** `path`: below `/administration/v2/`. */
async function call(method, path, { query = {}, body, signal }) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== '')
  const target = `v2/${path}${given.length > 0 ? `?${new URLSearchParams(given)}` : ''}`
  const deadline = AbortSignal.timeout(DEADLINE_MS)
  const { token, onRefused } = session
  const response = await fetch(target, {
    method,
    headers: { authorization: `Bearer ${token}`, accept: 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
    signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
    cache: 'no-store',
    redirect: 'error',
  }).catch(error => {
    if (signal?.aborted) throw error
    throw new ApiError(0, {
      reason: deadline.aborted
        ? `The server did not answer within ${DEADLINE_MS / 1000} s.`
        : 'The server cannot be reached.',
    })
  })
  const answer = await response.json().catch(() => ({}))
  if (response.ok) return answer
  const error = new ApiError(response.status, answer)
  if (error.code === 'not_allowed' && answer.reason === undefined) onRefused(error)
  throw error
}

/** A part of a path that names something. */
export const named = (...names) => names.map(encodeURIComponent).join('/')
