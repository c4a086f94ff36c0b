/** One log line per HTTP request and per WebSocket (spec 06 §9.2). */
import type { IncomingMessage } from 'node:http'
import type { Log, LogKeys } from '../log.ts'
import { releaseOf } from '../protocol/versions.ts'
import type { ClientAddress } from './client-address.ts'

const MAX_LOGGED_AUTHOR = 512

export const pathOf = (request: IncomingMessage): string => request.url!.split('?', 1)[0]!

export class AccessLog {
  readonly #log: Log
  /** What a request is known by beside its line: which route, whose connection. */
  readonly #notes = new WeakMap<IncomingMessage, LogKeys>()
  constructor(log: Log) {
    this.#log = log
  }

  /** Keys of the entry that will be written. */
  note(request: IncomingMessage, keys: LogKeys): void {
    this.#notes.set(request, { ...this.#notes.get(request), ...keys })
  }
  /**
   * The text is `<peer ip>:<port> <METHOD> <path> <http version|ws> <status> <body size|-> <µs>us <author|->`; the keys say
   * the same and more. The port is 0 when a proxy told the address; `protocol` is `ws` for a WebSocket, whose status is 101.
   */
  write(
    request: IncomingMessage,
    client: ClientAddress,
    protocol: string,
    response: { statusCode: number; getHeader(name: string): unknown },
    startedAt: number,
    keys?: LogKeys,
  ): void {
    const { method } = request
    const { statusCode: status } = response
    const { address } = client
    const size = response.getHeader('content-length') ?? '-'
    const micros = Math.round((performance.now() - startedAt) * 1000)
    const release = releaseOf(request.headers['user-agent'])
    this.#log.info(
      `${address}:${client.port} ${method} ${pathOf(request)} ${protocol} ${status} ${size} ${micros}us ${authorOf(request)}`,
      {
        ...{ method, status, address, ms: micros / 1000 },
        ...(size !== '-' && { bytes: Number(size) }),
        ...(release && { client_release: release.join('.') }),
        ...this.#notes.get(request),
        ...keys,
      },
    )
  }
}
function authorOf(request: IncomingMessage): string {
  const author = request.headers.author
  return typeof author === 'string' && author !== ''
    ? Buffer.from(author.slice(0, MAX_LOGGED_AUTHOR), 'base64').toString()
    : '-'
}
