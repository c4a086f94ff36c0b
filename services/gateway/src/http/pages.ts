/** What a browser may ask for: the welcome page, its assets, and links of mails that lead to the client (spec 02 §6). */
import { readFile } from 'node:fs/promises'
import type { BackendAddr, GatewayConfig } from '@parsec/shared/config'
import { netloc } from '@parsec/shared/http/netloc'
import { HTML, htmlPage } from '@parsec/shared/http/server'
import { serverVersion } from '@parsec/shared/version'
import type { FastifyInstance } from 'fastify'

const FOLDER = new URL('../../static/', import.meta.url)
/** File of `static/` → what it is. */
const FILES = {
  'base.css': 'text/css; charset=utf-8',
  'favicon.ico': 'image/vnd.microsoft.icon',
  'logo.svg': 'image/svg+xml',
  // Mails show it.
  'parsec-vert.png': 'image/png',
}

/** The files are read once: later they may be those of another release. */
export async function registerPages(
  app: FastifyInstance,
  { backendAddr, debug }: Pick<GatewayConfig, 'backendAddr' | 'debug'>,
): Promise<void> {
  const welcome = welcomePage(backendAddr, debug)
  app.get('/', (_request, reply) => reply.type(HTML).send(welcome))
  for (const [name, type] of Object.entries(FILES)) {
    const content = await readFile(new URL(name, FOLDER))
    app.get(`/static/${name}`, (_request, reply) => reply.type(type).send(content))
  }
  app.get('/redirect/*', (request, reply) => {
    const path = (request.params as { '*': string })['*']
    if (path === '') return reply.callNotFound()
    const query = request.raw.url!.split('?').slice(1).join('?')
    const location = redirection(backendAddr, path, query)
    return reply
      .code(302)
      .header('location', location)
      .type(HTML)
      .send(htmlPage('Redirection', 'Opening the Parsec client.'))
  })
}

/** Which server this is, in debug mode with its version, and what whoever came here may have wanted. */
const welcomePage = (backendAddr: BackendAddr, debug: boolean): string => `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Parsec server</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/static/favicon.ico">
<link rel="stylesheet" href="/static/base.css">
</head>
<body>
<main>
<img src="/static/logo.svg" alt="" width="72" height="72">
<h1>Parsec server</h1>
<p class="lead">It works. This is <strong>${netloc(backendAddr)}</strong>${debug ? `, version ${serverVersion()}` : ''}.</p>
<p>Files are encrypted on the devices of those who share them; this server keeps what it cannot read. It is used with the
Parsec client, not with a browser.</p>
<h2>You were invited</h2>
<p>Install the Parsec client, then open the link of your invitation with it. It begins with <code>parsec://</code>, or leads
there by itself.</p>
<h2>You have an account</h2>
<p>Start the Parsec client and choose your organization: there is nothing to do here.</p>
<h2>You run this server</h2>
<p>Organizations, users and health are in the <a href="/administration/">administration console</a>; programs use the
<a href="/administration/docs">administration API</a>.</p>
</main>
</body>
</html>
`

/** Where `/redirect/PATH?QUERY` leads; `path` is decoded, `query` as it came (spec 02 §6.3). */
export function redirection(addr: BackendAddr, path: string, query: string): string {
  const values = new Map<string, string[]>()
  // Of two question marks the class would take the first for none of the query.
  for (const [name, value] of new URLSearchParams(`?${query}`)) {
    if (name === 'no_ssl') continue
    const known = values.get(name)
    if (known) known.push(value)
    else values.set(name, [value])
  }
  if (!addr.useTls) values.set('no_ssl', ['true'])
  const pairs = [...values].flatMap(([name, all]) => all.map(value => `${formEncode(name)}=${formEncode(value)}`))
  const target = `parsec://${netloc(addr)}/${path.split('/').map(formEncode).join('/')}`
  return pairs.length === 0 ? target : `${target}?${pairs.join('&')}`
}

/** Form encoding that leaves letters, digits and `_ . - ~`, and turns a space into `+`. */
const formEncode = (text: string): string =>
  encodeURIComponent(text.toWellFormed())
    .replace(/[!'()*]/g, c => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+')
