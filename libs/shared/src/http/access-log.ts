/** One log line per HTTP request and per WebSocket (spec 06 §9.2). */
import type { IncomingMessage } from 'node:http'
import type { ClientAddress } from './client-address.ts'

const MAX_LOGGED_AUTHOR = 512

export const pathOf = (request: IncomingMessage): string => request.url!.split('?', 1)[0]!

/**
 * `<peer ip>:<port> <METHOD> <path> <http version|ws> <status> <body size|-> <µs>us <author|->`.
 * The port is 0 when a proxy told the address; `protocol` is `ws` for a WebSocket, whose status is 101.
 */
export function accessLine(
  request: IncomingMessage,
  client: ClientAddress,
  protocol: string,
  response: { statusCode: number; getHeader(name: string): unknown },
  startedAt: number,
): string {
  const size = response.getHeader('content-length') ?? '-'
  const micros = Math.round((performance.now() - startedAt) * 1000)
  return `${client.address}:${client.port} ${request.method} ${pathOf(request)} ${protocol} ${response.statusCode} ${size} ${micros}us ${authorOf(request)}`
}
function authorOf(request: IncomingMessage): string {
  const author = request.headers.author
  return typeof author === 'string' && author !== ''
    ? Buffer.from(author.slice(0, MAX_LOGGED_AUTHOR), 'base64').toString()
    : '-'
}
