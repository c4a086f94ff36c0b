/**
 * The administration API: the compatible routes (spec 02 §7), each one request to the metadata service, and those of
 * `/administration/v2` beside them; the console and the pages of the documentation are shown to everybody.
 */
import type { Bus } from '@parsec/shared/bus/bus'
import { Roll } from '@parsec/shared/bus/roll'
import { Unavailable } from '@parsec/shared/errors'
import type { AdministrationGuard } from '@parsec/shared/http/administration-guard'
import type { Scope } from '@parsec/shared/http/administration-tokens'
import type { HttpServer } from '@parsec/shared/http/server'
import type { Log } from '@parsec/shared/log'
import type { Service } from '@parsec/shared/service'
import { traced } from '@parsec/shared/tracing'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { consoleRoutes, openConsole } from './console.ts'
import { docsRoutes } from './docs-pages.ts'
import { endpoints } from './endpoints.ts'
import { organizationRoutes } from './organizations.ts'
import { answer, audit } from './route.ts'
import { statisticsRoutes } from './statistics.ts'
import { userRoutes } from './users.ts'

export type AdminDeps = { bus: Bus; log: Log; guard: AdministrationGuard; http: HttpServer }

const BEARER = 'Bearer '
/** Answers name people and hold links that open organizations: no browser and no proxy keeps them, or takes them for a page. */
const HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }

/** Registers the routes under `/administration`; the caller listens. Closing the HTTP server ends the calls in progress. */
export async function startAdmin({ bus, log, guard, http }: AdminDeps): Promise<Service> {
  const files = await openConsole()
  const roll = await Roll.open(bus, log)
  await http.app.register(
    async app => {
      consoleRoutes(app, files)
      docsRoutes(app)
    },
    { prefix: '/administration' },
  )
  await http.app.register(
    async app => {
      guardRoutes(app, guard, log)
      const deps = { bus, log, roll }
      organizationRoutes(app, deps)
      userRoutes(app, deps)
      statisticsRoutes(app, deps)
      for (const endpoint of endpoints) endpoint.register(app, deps)
    },
    { prefix: '/administration' },
  )

  return {
    name: 'admin',
    readiness: () => ({ ready: bus.connected, detail: bus.connected ? {} : { bus: 'disconnected' } }),
    drain: async () => {},
    stop: () => roll.close(),
  }
}

/** Lets nobody pass without a token that may do what the route does, and says when the service behind is away. */
function guardRoutes(app: FastifyInstance, guard: AdministrationGuard, log: Log): void {
  app.decorateRequest('bearer', null)
  app.addHook('onRoute', route => {
    const { handler } = route
    const name = `${route.method} ${route.url}`
    const description = { name, kind: 'server', service: 'admin', parent: null } as const
    route.handler = function (request, reply) {
      return traced(
        () => ({ ...description, attributes: {} }),
        async () => handler.call(this, request, reply),
      )
    }
  })
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(HEADERS)
    const { authorization = '' } = request.headers
    const token = authorization.startsWith(BEARER) ? authorization.slice(BEARER.length) : undefined
    const verdict = guard.check(token, request.ip, performance.now())
    if (verdict === 'too_many') return reply.code(429).send({ error: 'too_many_requests' })
    if (verdict === 'refused') return refuse(request, reply)
    request.setDecorator('bearer', verdict)
    const scope = scopeOf(request)
    if (!verdict.scopes.includes(scope)) return refuse(request, reply, `This token may not ${scope}.`)
  })
  app.setErrorHandler((error, request, reply) => {
    if (!(error instanceof Unavailable)) throw error
    audit(log, request, 'unavailable')
    return reply.code(503).send({ error: 'unavailable' })
  })
  const refuse = (request: FastifyRequest, reply: FastifyReply, reason?: string) =>
    answer({ log }, request, reply, 403, { error: 'not_allowed', ...(reason !== undefined && { reason }) })
}

/** As the route says, or as its method is. */
const scopeOf = ({ method, routeOptions }: FastifyRequest): Scope =>
  (routeOptions.config as { scope?: Scope }).scope ?? (['GET', 'HEAD'].includes(method) ? 'read' : 'write')
