/** The administration API (spec 02 §7): a few HTTP routes, each one request to the metadata service. */
import type { Bus } from '@parsec/shared/bus/bus'
import { Unavailable } from '@parsec/shared/errors'
import type { AdministrationGuard } from '@parsec/shared/http/administration-guard'
import type { HttpServer } from '@parsec/shared/http/server'
import type { Log } from '@parsec/shared/log'
import type { Service } from '@parsec/shared/service'
import { docsRoutes, openPages } from './docs-pages.ts'
import { organizationRoutes } from './organizations.ts'
import { audit } from './route.ts'
import { statisticsRoutes } from './statistics.ts'
import { userRoutes } from './users.ts'

export type AdminDeps = { bus: Bus; log: Log; guard: AdministrationGuard; http: HttpServer }

const BEARER = 'Bearer '

/** Registers the routes under `/administration`; the caller listens. Closing the HTTP server ends the calls in progress. */
export async function startAdmin({ bus, log, guard, http }: AdminDeps): Promise<Service> {
  const pages = await openPages()
  await http.app.register(async app => docsRoutes(app, pages), { prefix: '/administration' })
  await http.app.register(
    async app => {
      app.addHook('onRequest', async (request, reply) => {
        // The router takes an empty segment for a parameter; such a path does not exist.
        if ((request.params as { organization_id?: string }).organization_id === '') return reply.callNotFound()
        const { authorization = '' } = request.headers
        const token = authorization.startsWith(BEARER) ? authorization.slice(BEARER.length) : undefined
        const verdict = guard.check(token, request.ip, performance.now())
        if (verdict === 'allowed') return
        if (verdict === 'too_many') return reply.code(429).send({ error: 'too_many_requests' })
        audit(log, request, 'not_allowed')
        return reply.code(403).send({ error: 'not_allowed' })
      })
      app.setErrorHandler((error, request, reply) => {
        if (!(error instanceof Unavailable)) throw error
        audit(log, request, 'unavailable')
        return reply.code(503).send({ error: 'unavailable' })
      })
      organizationRoutes(app, { bus, log })
      userRoutes(app, { bus, log })
      statisticsRoutes(app, { bus, log })
    },
    { prefix: '/administration' },
  )

  return {
    name: 'admin',
    readiness: () => ({ ready: bus.connected, detail: bus.connected ? {} : { bus: 'disconnected' } }),
    drain: async () => {},
    stop: async () => {},
  }
}
