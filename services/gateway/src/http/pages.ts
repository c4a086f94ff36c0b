/** What a browser may ask for: the welcome page, its two assets, and links of mails that lead to the client (spec 02 §6). */
import { crc32, deflateSync } from 'node:zlib'
import type { BackendAddr } from '@parsec/shared/config'
import { netloc } from '@parsec/shared/http/netloc'
import { HTML, htmlPage } from '@parsec/shared/http/server'
import type { FastifyInstance } from 'fastify'

const WELCOME = htmlPage(
  'Parsec server',
  'This is a Parsec server. Open it with the Parsec client: web browsers can do nothing here.',
)
const STYLE = `body { margin: 4rem auto; max-width: 40rem; padding: 0 1rem; font: 1.1rem/1.5 system-ui, sans-serif; color: #1c2b3a }
h1 { font-weight: 600; color: #0058cc }
`
/** 16 × 16 pixels in the colour of the headings. */
const ICON = favicon(0x00, 0x58, 0xcc)
/** The same as a picture, for mails. */
const LOGO = png(0x00, 0x58, 0xcc)

export function registerPages(app: FastifyInstance, backendAddr: BackendAddr): void {
  app.get('/', (_request, reply) => reply.type(HTML).send(WELCOME))
  app.get('/static/base.css', (_request, reply) => reply.type('text/css; charset=utf-8').send(STYLE))
  app.get('/static/favicon.ico', (_request, reply) => reply.type('image/vnd.microsoft.icon').send(ICON))
  app.get('/static/parsec-vert.png', (_request, reply) => reply.type('image/png').send(LOGO))
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

/** Where `/redirect/PATH?QUERY` leads; `path` is decoded, `query` as it came (spec 02 §6.3). */
export function redirection(addr: BackendAddr, path: string, query: string): string {
  const values = new Map<string, string[]>()
  for (const [name, value] of new URLSearchParams(query)) {
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
export const formEncode = (text: string): string =>
  encodeURIComponent(text.toWellFormed())
    .replace(/[!'()*]/g, c => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+')

/** An icon file with one image of a single colour. */
function favicon(red: number, green: number, blue: number): Buffer {
  const side = 16
  const pixels = Buffer.alloc(side * side * 4, Buffer.from([blue, green, red, 0xff]))
  const mask = Buffer.alloc(side * 4)
  const bitmap = Buffer.alloc(40)
  bitmap.writeUInt32LE(40, 0)
  bitmap.writeInt32LE(side, 4)
  // Twice the height: the image and its mask.
  bitmap.writeInt32LE(side * 2, 8)
  bitmap.writeUInt16LE(1, 12)
  bitmap.writeUInt16LE(32, 14)
  const header = Buffer.alloc(22)
  header.writeUInt16LE(1, 2)
  header.writeUInt16LE(1, 4)
  header.writeUInt8(side, 6)
  header.writeUInt8(side, 7)
  header.writeUInt16LE(1, 10)
  header.writeUInt16LE(32, 12)
  header.writeUInt32LE(bitmap.length + pixels.length + mask.length, 14)
  header.writeUInt32LE(header.length, 18)
  return Buffer.concat([header, bitmap, pixels, mask])
}

/** A PNG file of 64 × 64 pixels of a single colour. */
function png(red: number, green: number, blue: number): Buffer {
  const side = 64
  const row = Buffer.concat([Buffer.alloc(1), Buffer.alloc(side * 3, Buffer.from([red, green, blue]))])
  const header = Buffer.alloc(13)
  header.writeUInt32BE(side, 0)
  header.writeUInt32BE(side, 4)
  // Eight bits for each of three colours.
  header.set([8, 2], 8)
  const pixels = deflateSync(Buffer.concat(Array.from({ length: side }, () => row)))
  const signature = Buffer.from('89504e470d0a1a0a', 'hex')
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', pixels), chunk('IEND', Buffer.alloc(0))])
}
function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type), data])
  const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)]
  length.writeUInt32BE(data.length)
  checksum.writeUInt32BE(crc32(body))
  return Buffer.concat([length, body, checksum])
}
