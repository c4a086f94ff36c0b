/**
 * The HTTP side of a process: one fastify instance on which gateway and administration register their routes.
 *
 * Every route gets its body as bytes whatever the content type says, and everything that does not depend on a route is
 * here: limits, TLS, HTTPS enforcement, error pages, 405, the `server` header and the access log (spec 02 §6, 06 §9.2).
 */
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Readable } from 'node:stream'
import type { SecureContextOptions } from 'node:tls'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify, type HTTPMethods } from 'fastify'
import type { HttpConfig } from '../config.ts'
import { OperatorError, Unavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import { type ClientAddress, clientOf, trustOf } from './client-address.ts'

export type HttpServer = {
  /** Routes are added before `listen`. `request.body` is always a `Buffer`, empty when there is none. */
  app: FastifyInstance
  /** Whom a request comes from; `request.ip` of a route says the same. */
  clientOf(request: http.IncomingMessage): ClientAddress
  /** Opens the port; throws `OperatorError` when it is taken. */
  listen(): Promise<{ host: string; port: number }>
  /** Serves another certificate to new connections; only for a server that started with TLS. */
  renewTls(files: NonNullable<HttpConfig['tls']>): void
  /** Stops accepting, lets requests that run end within `CLOSE_GRACE_MS`, then cuts. WebSockets are their owner's. */
  close(): Promise<void>
}

/** Longest request body, inclusive (spec 02 §6.1); above: 413. */
export const MAX_BODY_BYTES = 1_048_576
/** Longest request line and headers together; above: 431. */
export const MAX_HEAD_BYTES = 16 * 1024
const KEEP_ALIVE_MS = 5_000
/** A request must have arrived completely within this time. */
const RECEIVE_MS = 60_000
const CLOSE_GRACE_MS = 3_000
/** How much of a body that is too long is read and dropped, so that its sender gets to read the 413. */
const MAX_DROPPED_BYTES = 64 * 1_048_576
const MAX_LOGGED_AUTHOR = 512
const CIPHERS =
  'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384'

export const HTML = 'text/html; charset=utf-8'

/** A page that consists of one sentence. */
export const htmlPage = (title: string, sentence: string): string =>
  `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>${title}</title><link rel="stylesheet" href="/static/base.css"></head>
<body><h1>${title}</h1><p>${sentence}</p></body>
</html>
`

/** `parsec`, with the version in debug mode only. */
export function serverHeader(debug: boolean): string {
  if (!debug) return 'parsec'
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  return `parsec/${version}`
}

export async function createHttp(config: HttpConfig, log: Log): Promise<HttpServer> {
  const name = serverHeader(config.debug)
  const isTrusted = trustOf(config.trustedProxies)
  const options = { maxHeaderSize: MAX_HEAD_BYTES, keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: RECEIVE_MS }
  const app = fastify({
    bodyLimit: MAX_BODY_BYTES,
    trustProxy: isTrusted,
    routerOptions: { maxParamLength: MAX_HEAD_BYTES },
    return503OnClosing: false,
    serverFactory: handler => {
      const onRequest = (request: http.IncomingMessage, response: http.ServerResponse) => {
        const startedAt = performance.now()
        response.setHeader('server', name)
        // The socket forgets its peer when it closes.
        const client = clientOf(request, isTrusted)
        response.once('close', () => log.info(accessLine(request, client, request.httpVersion, response, startedAt)))
        if (!enforceHttps(config, request, response)) {
          request.url = withValidEscapes(request.url!)
          handler(request, response)
        }
      }
      const { tls } = config
      const server = tls
        ? https.createServer({ ...options, ...secureContext(tls), ALPNProtocols: ['http/1.1'] }, onRequest)
        : http.createServer(options, onRequest)
      return server as http.Server
    },
    clientErrorHandler: (error, socket) => refuseConnection(error, socket, name),
    frameworkErrors: (_error, _request, reply) => {
      void sendPage(reply, 404, 'Not found', 'There is nothing here.')
    },
  })
  takeEveryBody(app)
  app.setNotFoundHandler((_request, reply) => sendPage(reply, 404, 'Not found', 'There is nothing here.'))
  app.setErrorHandler((error, request, reply) => answerFailure(error, request, reply, log))
  const methods = methodsByPath(app)
  const host = config.host.replace(/^\[(.*)\]$/, '$1')
  return {
    app,
    clientOf: request => clientOf(request, isTrusted),
    renewTls(files) {
      if (app.server instanceof https.Server) app.server.setSecureContext(secureContext(files))
    },
    async listen() {
      await app.after()
      refuseOtherMethods(app, methods)
      try {
        await app.listen({ host, port: config.port })
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException
        if (code === undefined || !/^E[A-Z]+$/.test(code)) throw error
        throw new OperatorError(`cannot listen on ${config.host} port ${config.port}: ${message}`, { cause: error })
      }
      return { host, port: (app.server.address() as AddressInfo).port }
    },
    async close() {
      const cut = setTimeout(() => app.server.closeAllConnections(), CLOSE_GRACE_MS)
      try {
        await app.close()
      } finally {
        clearTimeout(cut)
      }
    },
  }
}

const secureContext = (files: NonNullable<HttpConfig['tls']>): SecureContextOptions => ({
  ...files,
  minVersion: 'TLSv1.2',
  ciphers: CIPHERS,
})

// Request bodies

const EMPTY = Buffer.alloc(0)

class BadBody extends Error {
  readonly statusCode: number
  constructor(statusCode: number) {
    super(`body refused with ${statusCode}`)
    this.statusCode = statusCode
  }
}

/** Reads bodies ourselves: the framework would refuse content types that are for the routes to judge. */
function takeEveryBody(app: FastifyInstance): void {
  for (const method of app.supportedMethods) app.addHttpMethod(method, { hasBody: false, overrideExisting: true })
  app.addHook('preValidation', async request => {
    const { headers } = request.raw
    const hasBody = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined
    request.body = hasBody ? await readBody(request.raw) : EMPTY
  })
}

/** All of a body. One that is too long is refused only when its sender is done, or beyond patience. */
async function readBody(payload: Readable): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of payload as AsyncIterable<Buffer>) {
      length += chunk.length
      if (length <= MAX_BODY_BYTES) chunks.push(chunk)
      else chunks.length = 0
      if (length > MAX_DROPPED_BYTES) break
    }
  } catch {
    // The peer left in the middle of it.
    throw new BadBody(400)
  }
  if (length > MAX_BODY_BYTES) throw new BadBody(413)
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, length)
}

// Answers that no route gives

/** A page for people; under `/administration`, where programs ask, `{"error": …}`. */
const sendPage = (reply: FastifyReply, status: number, title: string, sentence: string) =>
  asksForJson(reply.request, status)
    ? reply.code(status).send({ error: title.toLowerCase().replaceAll(' ', '_') })
    : reply.code(status).type(HTML).send(htmlPage(title, sentence))

/** An unknown path has a page there too, unless the request says that it wants no page (spec 02 §7.1). */
const asksForJson = ({ raw, headers }: FastifyRequest, status: number): boolean =>
  /^\/administration(?:$|\/)/.test(pathOf(raw)) &&
  (status !== 404 || headers.accept?.includes('application/json') === true)

function answerFailure(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Log) {
  const status = (error as { statusCode?: number }).statusCode
  if (status === 413) return sendPage(reply, 413, 'Too large', 'The request is too large.')
  if (status !== undefined && status >= 400 && status < 500)
    return sendPage(reply, status, 'Bad request', 'The request is not understood.')
  if (error instanceof Unavailable) {
    log.warning('Service unavailable', { path: pathOf(request.raw), cause: error.message })
    return sendPage(reply, 503, 'Unavailable', 'The service is temporarily unavailable.')
  }
  log.error('Unexpected crash', { path: pathOf(request.raw), error })
  return sendPage(reply, 500, 'Internal server error', 'Something went wrong.')
}

/** Remembers which methods each route pattern has, as routes are added. */
function methodsByPath(app: FastifyInstance): Map<string, Set<string>> {
  const methods = new Map<string, Set<string>>()
  app.addHook('onRoute', ({ url, method }) => {
    const known = methods.get(url) ?? new Set()
    for (const one of [method].flat()) known.add(one)
    methods.set(url, known)
  })
  return methods
}
/** Known paths answer 405 for methods without a route, and OPTIONS. */
function refuseOtherMethods(app: FastifyInstance, methods: Map<string, Set<string>>): void {
  for (const [url, known] of [...methods]) {
    const allow = [...new Set([...known, 'OPTIONS'])].join(', ')
    if (!known.has('OPTIONS')) app.options(url, (_request, reply) => reply.header('allow', allow).send())
    const others = app.supportedMethods.filter(method => !known.has(method) && method !== 'OPTIONS') as HTTPMethods[]
    if (others.length === 0) continue
    app.route({
      method: others,
      url,
      handler: (_request, reply) =>
        sendPage(reply.header('allow', allow), 405, 'Method not allowed', 'This cannot be done here.'),
    })
  }
}

/** What arrives is no HTTP, too long a head, or too slow: a minimal answer, then the end of the connection. */
function refuseConnection(error: NodeJS.ErrnoException, socket: Socket, name: string): void {
  const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400
  if (error.code === 'ECONNRESET' || !socket.writable || socket.bytesWritten > 0) {
    socket.destroy()
    return
  }
  const head = [
    `HTTP/1.1 ${status} ${http.STATUS_CODES[status]}`,
    `server: ${name}`,
    `date: ${new Date().toUTCString()}`,
  ]
  socket.end(`${[...head, 'content-length: 0', 'connection: close'].join('\r\n')}\r\n\r\n`)
}

/** Redirects a request of which the proxy says that it came in clear (spec 02 §6.5); true when it did. */
function enforceHttps(
  { forwardProtoEnforceHttps: rule, tls, host }: HttpConfig,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): boolean {
  if (!rule || tls) return false
  const value = request.headers[rule.header.toLowerCase()]
  if (value === undefined || value === rule.value) return false
  const target = request.url!
  const location = target.startsWith('/')
    ? `https://${request.headers.host ?? host}${target}`
    : target.replace(/^http:/i, 'https:')
  request.resume()
  response.writeHead(301, { location, 'content-length': 0 }).end()
  return true
}

/**
 * A request target in which every escape of the path can be decoded: a lone `%` stands for itself and bytes that are no
 * UTF-8 become U+FFFD. The router would refuse the whole request; so it is the route that judges the value.
 */
export function withValidEscapes(target: string): string {
  const query = target.indexOf('?')
  const path = query < 0 ? target : target.slice(0, query)
  if (!path.includes('%') || isDecodable(path)) return target
  const whole = path.replace(/%(?![0-9a-f]{2})/gi, '%25')
  const valid = whole.replace(/(?:%[0-9a-f]{2})+/gi, run =>
    isDecodable(run) ? run : encodeURIComponent(Buffer.from(run.replaceAll('%', ''), 'hex').toString()),
  )
  return query < 0 ? valid : valid + target.slice(query)
}
function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

// Access log

const pathOf = (request: http.IncomingMessage): string => request.url!.split('?', 1)[0]!

/**
 * `<peer ip>:<port> <METHOD> <path> <http version|ws> <status> <body size|-> <µs>us <author|->` (spec 06 §9.2).
 * The port is 0 when a proxy told the address; `protocol` is `ws` for a WebSocket, whose status is 101.
 */
export function accessLine(
  request: http.IncomingMessage,
  client: ClientAddress,
  protocol: string,
  response: { statusCode: number; getHeader(name: string): unknown },
  startedAt: number,
): string {
  const size = response.getHeader('content-length') ?? '-'
  const micros = Math.round((performance.now() - startedAt) * 1000)
  return `${client.address}:${client.port} ${request.method} ${pathOf(request)} ${protocol} ${response.statusCode} ${size} ${micros}us ${authorOf(request)}`
}
function authorOf(request: http.IncomingMessage): string {
  const author = request.headers.author
  return typeof author === 'string' && author !== ''
    ? Buffer.from(author.slice(0, MAX_LOGGED_AUTHOR), 'base64').toString()
    : '-'
}
