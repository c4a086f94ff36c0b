/**
 * `/administration/docs`: the API as pages for people, and its document at `/administration/docs/json`. No token is asked
 * for: it holds nothing that the source does not. Few servers are ever asked for it, so nothing is read or made before.
 */
import { readFile } from 'node:fs/promises'
import { serverVersion } from '@parsec/shared/version'
import type { FastifyInstance } from 'fastify'
import { openApiDocument } from './openapi.ts'
import { type PageFile, pageFile, sendFile } from './page-file.ts'

const FOLDER = new URL('../api-docs/', import.meta.url)
/** Of the package only these files are used. */
const SWAGGER_UI = new URL('static/', import.meta.resolve('@fastify/swagger-ui/package.json'))
const file = (url: URL) => async () => pageFile(url.pathname, await readFile(url))
const index = file(new URL('index.html', FOLDER))
const PAGES: { readonly [path: string]: () => Promise<PageFile> } = {
  '/docs': index,
  '/docs/': index,
  '/docs/static/start.js': file(new URL('start.js', FOLDER)),
  '/docs/static/swagger-ui.css': file(new URL('swagger-ui.css', SWAGGER_UI)),
  '/docs/static/swagger-ui-bundle.js': file(new URL('swagger-ui-bundle.js', SWAGGER_UI)),
  '/docs/json': async () => pageFile('openapi.json', Buffer.from(JSON.stringify(openApiDocument(serverVersion())))),
}
/** Without `upgrade-insecure-requests`, which leaves the page blank on a host without TLS. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data:; font-src data:; base-uri 'none'; frame-ancestors 'none'"

/** Each is made once, when it is asked for. */
export function docsRoutes(app: FastifyInstance): void {
  for (const [path, make] of Object.entries(PAGES)) {
    let page: PageFile | undefined
    app.get(path, async (request, reply) => {
      page ??= await make()
      return sendFile(request, reply, page, POLICY)
    })
  }
}
