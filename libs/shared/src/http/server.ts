/**
 * The HTTP side of a process: one fastify instance on which gateway and administration register their routes.
 *
 * Every route gets its body as bytes whatever the content type says, and everything that does not depend on a route is
 * here: limits, TLS, HTTPS enforcement, error pages, 405, the `server` header and the access log (spec 02 §6, 06 §9.2).
 */

import http from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { SecureContextOptions } from 'node:tls'
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify, type HTTPMethods } from 'fastify'
import type { HttpConfig } from '../config.ts'
import { logEnd } from '../cuts.ts'
import {
  HTTP_CLOSE_GRACE_MS,
  HTTP_HEAD_MS,
  HTTP_KEEP_ALIVE_MS,
  HTTP_REQUEST_MS,
  HTTP_SWEEP_MS,
  TLS_HANDSHAKE_MS,
} from '../deadlines.ts'
import { OperatorError, Unavailable } from '../errors.ts'
import { limits } from '../limits.ts'
import type { Log } from '../log.ts'
import { serverVersion } from '../version.ts'
import { AccessLog, pathOf } from './access-log.ts'
import { carryBodies } from './bodies.ts'
import { type ClientAddress, clientOf, type IsTrusted, trustOf } from './client-address.ts'
import { InFlight } from './in-flight.ts'
import { withoutBrackets } from './netloc.ts'
import { OpenSockets } from './open-sockets.ts'
import { refuseSocket } from './refusal.ts'

export type HttpServer = {
  /** Routes are added before `listen`. `request.body` is always a `Buffer`, empty when there is none. */
  app: FastifyInstance
  /** Whom a request comes from; `request.ip` of a route says the same. */
  clientOf(request: http.IncomingMessage): ClientAddress
  /** All bytes that clients make the process hold; WebSockets count theirs, too. */
  readonly inFlight: InFlight
  readonly sockets: OpenSockets
  readonly access: AccessLog
  /** Opens the port; throws `OperatorError` when it is taken. */
  listen(): Promise<{ host: string; port: number }>
  /** Serves another certificate to new connections; only for a server that started with TLS. */
  renewTls(files: NonNullable<HttpConfig['tls']>): void
  /** New connections are refused by the system from now on; requests that run go on. */
  stopAccepting(): void
  /** Stops accepting, lets requests that run end within a few seconds, then cuts every socket. */
  close(): Promise<void>
}

const CIPHERS =
  'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384'

export const HTML = 'text/html; charset=utf-8'

/** A page that consists of one sentence. */
export const htmlPage = (title: string, sentence: string): string =>
  `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>${title}</title><meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="/static/favicon.ico"><link rel="stylesheet" href="/static/base.css"></head>
<body><main><h1>${title}</h1><p>${sentence}</p></main></body>
</html>
`

/** `parsec`, with the version in debug mode only. */
export function serverHeader(debug: boolean): string {
  if (!debug) return 'parsec'
  return `parsec/${serverVersion()}`
}

export async function createHttp(config: HttpConfig, log: Log): Promise<HttpServer> {
  const name = serverHeader(config.debug)
  const isTrusted = trustOf(config.trustedProxies)
  const inFlight = new InFlight()
  const access = new AccessLog(log)
  const app = fastify({
    bodyLimit: limits.body.value,
    trustProxy: isTrusted,
    routerOptions: { maxParamLength: limits.request_head.value },
    return503OnClosing: false,
    schemaController: NO_SCHEMAS,
    serverFactory: handler => nodeServer(config, { isTrusted, access, sockets: () => sockets, log }, handler),
    clientErrorHandler: (error, socket) => refuseConnection(error, socket, name, log),
    frameworkErrors: (_error, _request, reply) => {
      void sendPage(reply, 404, 'Not found', 'There is nothing here.')
    },
  })
  const sockets = new OpenSockets(app.server, config.maxConnections, log)
  carryBodies(app, inFlight, log)
  app.addHook('onRequest', (request, reply, done) => {
    const { url: route } = request.routeOptions
    if (route !== undefined) access.note(request.raw, { route })
    if (namesNothing(request) || isDisguised(request)) reply.callNotFound()
    else done()
  })
  app.setNotFoundHandler((_request, reply) => sendPage(reply, 404, 'Not found', 'There is nothing here.'))
  app.setErrorHandler((error, request, reply) => answerFailure(error, request, reply, log))
  const methods = methodsByPath(app)
  let stopped: Promise<void> | undefined
  const stopAccepting = () =>
    (stopped ??= new Promise(resolve => {
      app.server.close(() => resolve())
    }))
  const host = withoutBrackets(config.host)
  return {
    app,
    inFlight,
    sockets,
    access,
    clientOf: request => clientOf(request, isTrusted),
    renewTls(files) {
      if (app.server instanceof https.Server) app.server.setSecureContext(secureContext(files))
    },
    async listen() {
      await app.after()
      refuseOtherMethods(app, methods)
      try {
        const address = { host, port: config.port, reusePort: config.isShared === true }
        await app.listen(address)
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException
        if (code === undefined || !/^E[A-Z]+$/.test(code)) throw error
        throw new OperatorError(`cannot listen on ${config.host} port ${config.port}: ${message}`, { cause: error })
      }
      return { host, port: (app.server.address() as AddressInfo).port }
    },
    stopAccepting: () => void stopAccepting(),
    async close() {
      const cut = setTimeout(() => sockets.destroyAll(), HTTP_CLOSE_GRACE_MS)
      try {
        await stopAccepting()
        await app.close()
      } finally {
        clearTimeout(cut)
      }
    },
  }
}

/** The router takes an empty segment for a parameter; such a path does not exist. */
const namesNothing = ({ params }: FastifyRequest): boolean =>
  Object.entries(params as { [name: string]: string }).some(([name, value]) => name !== '*' && value === '')

/**
 * What a proxy closes, as `/administration`, many proxies compare with the path as it was sent: spelled with escapes it
 * would be open.
 */
const isDisguised = ({ raw, routeOptions: { url } }: FastifyRequest): boolean =>
  url !== undefined && firstNameOf(url) !== firstNameOf(raw.url!.replace(/^https?:\/\/[^/]*/i, ''))
const firstNameOf = (path: string): string => /^\/[^/?]*/.exec(path)?.[0] ?? ''

type Around = {
  readonly isTrusted: IsTrusted
  readonly access: AccessLog
  /** There is no socket before the server is. */
  readonly sockets: () => OpenSockets
  readonly log: Log
}
/** What each request meets before it is routed: its name in the log, the bound on sockets, the redirection to https. */
function nodeServer(
  config: HttpConfig,
  { isTrusted, access, sockets, log }: Around,
  handler: http.RequestListener,
): http.Server {
  const { tls, debug } = config
  const name = serverHeader(debug)
  const onRequest = (request: http.IncomingMessage, response: http.ServerResponse) => {
    const { socket } = request
    // Cut off: what came with the same packet is still told.
    if (socket.destroyed) return
    const begin = () => {
      if (!socket.destroyed) onTurn(request, response)
    }
    if (!sockets().serve(socket, begin)) cutOff(socket, log)
  }
  const onTurn = (request: http.IncomingMessage, response: http.ServerResponse) => {
    const startedAt = performance.now()
    response.setHeader('server', name)
    // The socket forgets its peer when it closes.
    const client = clientOf(request, isTrusted)
    tellFramework(request, client)
    const { socket } = request
    response.once('close', () => {
      sockets().rest(socket)
      access.write(request, client, request.httpVersion, response, startedAt)
    })
    if (sockets().areTooMany) refuseRequest(request, response, 503)
    else if (!hasOneHost(request)) refuseRequest(request, response, 400)
    else if (!enforceHttps(config, request, response)) {
      request.url = withValidEscapes(request.url!)
      handler(request, response)
    }
  }
  const server = tls
    ? https.createServer({ ...OPTIONS, ...TLS_OPTIONS, ...secureContext(tls) }, onRequest)
    : http.createServer(OPTIONS, onRequest)
  // Nobody has to expect what we do not know.
  server.on('checkExpectation', onRequest)
  return server as http.Server
}

/** Routes check what they take by themselves; that the framework would compile schemas is not even loaded. */
const refuseSchema = () => () => {
  throw new Error('routes have no schemas')
}
const NO_SCHEMAS = { compilersFactory: { buildValidator: refuseSchema, buildSerializer: refuseSchema } }

const OPTIONS = {
  // We refuse it ourselves.
  requireHostHeader: false,
  maxHeaderSize: limits.request_head.value,
  headersTimeout: HTTP_HEAD_MS,
  requestTimeout: HTTP_REQUEST_MS,
  keepAliveTimeout: HTTP_KEEP_ALIVE_MS,
  connectionsCheckingInterval: HTTP_SWEEP_MS,
}
const TLS_OPTIONS = { handshakeTimeout: TLS_HANDSHAKE_MS, ALPNProtocols: ['http/1.1'] }

const secureContext = (files: NonNullable<HttpConfig['tls']>): SecureContextOptions => ({
  ...files,
  minVersion: 'TLSv1.2',
  ciphers: CIPHERS,
})

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
    const others = app.supportedMethods.filter(method => !known.has(method)) as HTTPMethods[]
    if (others.length === 0) continue
    const handler = ({ method }: FastifyRequest, reply: FastifyReply) => {
      reply.header('allow', allow)
      return method === 'OPTIONS'
        ? reply.send()
        : sendPage(reply, 405, 'Method not allowed', 'This cannot be done here.')
    }
    app.route({ method: others, url, handler })
  }
}

/** What arrives is no HTTP, too long a head, or too slow. */
function refuseConnection(error: NodeJS.ErrnoException, socket: Socket, server: string, log: Log): void {
  const { code = '' } = error
  const address = socket.remoteAddress
  if (code === 'ERR_SSL_HTTP_REQUEST')
    log.warning('Plain HTTP on the TLS port', { address, hint: 'clients must use https, or wss' })
  else if ((error as { rawPacket?: Buffer }).rawPacket?.[0] === TLS_HANDSHAKE)
    log.warning('TLS on the plain port', {
      address,
      hint: 'give --ssl-keyfile and --ssl-certfile, put a proxy in front, or add no_ssl=true to addresses',
    })
  const status = code === 'HPE_HEADER_OVERFLOW' ? 431 : code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400
  if (!/^(?:HPE|ERR_HTTP)_/.test(code) || !socket.writable || socket.bytesWritten > 0) socket.destroy()
  else refuseSocket(socket, status, server)
}
/** The first byte of a TLS connection. */
const TLS_HANDSHAKE = 0x16

/** So that `request.ip` of a route is what we made of the header; the framework would take an address with its port. */
function tellFramework({ headers, socket }: http.IncomingMessage, { address }: ClientAddress): void {
  if (headers['x-forwarded-for'] === undefined) return
  if (address === socket.remoteAddress) delete headers['x-forwarded-for']
  else headers['x-forwarded-for'] = address
}

/** RFC 9112 §3.2: of two hosts a proxy may have taken the other one for what was asked for. */
function hasOneHost({ httpVersion, headersDistinct }: http.IncomingMessage): boolean {
  const hosts = headersDistinct['host']?.length ?? 0
  return hosts === 1 || (hosts === 0 && httpVersion !== '1.1')
}

/** Who sends so many requests without waiting for an answer is no client of ours, and gets none. */
function cutOff(socket: Socket, log: Log): void {
  const reason = 'too many requests at once'
  logEnd(log, 'Connection dropped: closed by the server', { reason, address: socket.remoteAddress })
  socket.destroy()
}

/** One connection too many, or no HTTP: its request is not read, and nothing else will come on it. */
function refuseRequest(request: http.IncomingMessage, response: http.ServerResponse, status: number): void {
  request.resume()
  response.writeHead(status, { 'content-length': 0, connection: 'close' }).end()
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
function withValidEscapes(target: string): string {
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
