/**
 * `/administration/docs`: the API as pages for people, and its document at `/administration/docs/json`. No token is asked
 * for: it holds nothing that the source does not.
 */
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { serverVersion } from '@parsec/shared/version'
import { type FastifyInstance, type FastifyRequest, fastify } from 'fastify'
import { openApiDocument } from './openapi.ts'

const PREFIX = '/administration/docs'
/** Without `upgrade-insecure-requests`, which leaves the page blank on a host without TLS. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data:; font-src data:; base-uri 'none'; frame-ancestors 'none'"
/** What of a page's answer is passed on. */
const KEPT_HEADERS = ['content-type', 'location', 'cache-control', 'etag', 'last-modified', 'content-security-policy']

export function docsRoutes(app: FastifyInstance, pages: FastifyInstance): void {
  const handler = (request: FastifyRequest) => {
    const { 'if-none-match': known } = request.headers
    return pages.inject({
      method: 'GET',
      url: request.raw.url!,
      headers: known === undefined ? {} : { 'if-none-match': known },
    })
  }
  for (const path of ['/docs', '/docs/*'])
    app.get(path, async (request, reply) => {
      const page = await handler(request)
      if (page.statusCode === 404) return reply.callNotFound()
      for (const name of KEPT_HEADERS) if (page.headers[name] !== undefined) reply.header(name, page.headers[name])
      return reply.code(page.statusCode).send(page.rawPayload)
    })
}

/**
 * A server without a port of its own, that answers what is put into it. It is made at the start: later its packages may
 * have been replaced by those of another release.
 */
export async function openPages(): Promise<FastifyInstance> {
  const pages = fastify()
  const document = openApiDocument(serverVersion()) as never
  await pages.register(swagger, { mode: 'static', specification: { document } })
  await pages.register(swaggerUi, {
    routePrefix: PREFIX,
    staticCSP: POLICY,
    uiConfig: { tryItOutEnabled: false, validatorUrl: null },
  })
  await pages.ready()
  return pages
}
