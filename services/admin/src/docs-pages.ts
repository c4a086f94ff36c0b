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
const FILES: { readonly [path: string]: URL } = {
  '/docs': new URL('index.html', FOLDER),
  '/docs/': new URL('index.html', FOLDER),
  '/docs/static/start.js': new URL('start.js', FOLDER),
  '/docs/static/swagger-ui.css': new URL('swagger-ui.css', SWAGGER_UI),
  '/docs/static/swagger-ui-bundle.js': new URL('swagger-ui-bundle.js', SWAGGER_UI),
}
/** Without `upgrade-insecure-requests`, which leaves the page blank on a host without TLS. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data:; font-src data:; base-uri 'none'; frame-ancestors 'none'"

export function docsRoutes(app: FastifyInstance): void {
  for (const [path, file] of Object.entries(FILES))
    app.get(path, async (request, reply) =>
      sendFile(request, reply, pageFile(file.pathname, await readFile(file)), POLICY),
    )
  let document: PageFile | undefined
  app.get('/docs/json', (request, reply) => {
    document ??= pageFile('openapi.json', Buffer.from(JSON.stringify(openApiDocument(serverVersion()))))
    return sendFile(request, reply, document, POLICY)
  })
}
