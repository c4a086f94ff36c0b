/**
 * `/administration/`: the console, a page that asks the API with the token that somebody types into it. It is made of plain
 * files, of `console/` and of a few packages, which are read once: later the packages may have been replaced by those of
 * another release.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

type ConsoleFile = { readonly path: string; readonly type: string; readonly etag: string; readonly content: Buffer }

const FOLDER = new URL('../console/', import.meta.url)
/** The page itself; its files are below `/console/`. */
const PAGE = 'index.html'
const TYPES: { readonly [extension: string]: string } = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}
/** What browsers cannot find by the names of packages: file below `/console/vendor/` → where it is. */
const VENDOR: { readonly [file: string]: string } = {
  'preact.js': import.meta.resolve('preact'),
  'hooks.js': import.meta.resolve('preact/hooks'),
  'htm.js': import.meta.resolve('htm'),
  'qr.js': import.meta.resolve('qr'),
  'uplot.js': new URL('uPlot.esm.js', import.meta.resolve('uplot')).href,
  'uplot.css': new URL('uPlot.min.css', import.meta.resolve('uplot')).href,
}

/** Nothing but our own files, whatever somebody gets into a page; no `upgrade-insecure-requests`: many hosts have no TLS. */
const HEADERS = {
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'",
    "img-src 'self' data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  // Kept, and asked about each time: after an upgrade no file of the earlier release is used.
  'cache-control': 'no-cache',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
}

export async function openConsole(): Promise<readonly ConsoleFile[]> {
  const own = (await readdir(FOLDER)).map(async name =>
    fileOf(name === PAGE ? '/' : `/console/${name}`, TYPES[extname(name)]!, await readFile(new URL(name, FOLDER))),
  )
  const vendor = Object.entries(VENDOR).map(async ([name, url]) =>
    fileOf(`/console/vendor/${name}`, TYPES[extname(name)]!, forBrowsers(await readFile(new URL(url), 'utf8'))),
  )
  return Promise.all([...own, ...vendor])
}
const fileOf = (path: string, type: string, content: Buffer): ConsoleFile => ({
  path,
  type,
  etag: `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`,
  content,
})
/** One package imports another by its name; and nobody serves the maps. */
const forBrowsers = (source: string): Buffer =>
  Buffer.from(source.replace(/\bfrom ?"preact"/g, 'from"./preact.js"').replace(/\n\/\/# sourceMappingURL=.*/, ''))

/** One route for each file, so that no other path leads anywhere. */
export function consoleRoutes(app: FastifyInstance, files: readonly ConsoleFile[]): void {
  // `/administration` without the slash is no page (spec 02 §6.2).
  for (const file of files)
    app.get(file.path, { prefixTrailingSlash: 'slash' }, (request, reply) => send(request, reply, file))
}
function send(request: FastifyRequest, reply: FastifyReply, { type, etag, content }: ConsoleFile): FastifyReply {
  reply.headers({ ...HEADERS, etag })
  if (request.headers['if-none-match'] === etag) return reply.code(304).send()
  return reply.type(type).send(content)
}
