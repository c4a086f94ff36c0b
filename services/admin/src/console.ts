/**
 * `/administration/`: the console, a page that asks the API with the token that somebody types into it. It is made of plain
 * files, of `console/` and of a few packages, which are read once: later the packages may have been replaced by those of
 * another release.
 */
import { readdir, readFile } from 'node:fs/promises'
import type { FastifyInstance } from 'fastify'
import { type PageFile, pageFile, sendFile } from './page-file.ts'

type ConsoleFile = PageFile & { readonly path: string }

const FOLDER = new URL('../console/', import.meta.url)
/** The page itself; its files are below `/console/`. */
const PAGE = 'index.html'
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
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

export async function openConsole(): Promise<readonly ConsoleFile[]> {
  const own = (await readdir(FOLDER)).map(async name => ({
    path: name === PAGE ? '/' : `/console/${name}`,
    ...pageFile(name, await readFile(new URL(name, FOLDER))),
  }))
  const vendor = Object.entries(VENDOR).map(async ([name, url]) => ({
    path: `/console/vendor/${name}`,
    ...pageFile(name, forBrowsers(await readFile(new URL(url), 'utf8'))),
  }))
  return Promise.all([...own, ...vendor])
}
/** One package imports another by its name; and nobody serves the maps. */
const forBrowsers = (source: string): Buffer =>
  Buffer.from(source.replace(/\bfrom ?"preact"/g, 'from"./preact.js"').replace(/\n\/\/# sourceMappingURL=.*/, ''))

/** What is asked for is looked up among the files, so that no other path leads anywhere. */
export function consoleRoutes(app: FastifyInstance, files: readonly ConsoleFile[]): void {
  const byPath = new Map(files.map(file => [file.path, file]))
  // `/administration` without the slash is no page (spec 02 §6.2).
  app.get('/', { prefixTrailingSlash: 'slash' }, (request, reply) => sendFile(request, reply, byPath.get('/')!, POLICY))
  app.get<{ Params: { '*': string } }>('/console/*', (request, reply) => {
    const file = byPath.get(`/console/${request.params['*']}`)
    return file ? sendFile(request, reply, file, POLICY) : reply.callNotFound()
  })
}
