/** A file that is shown to everybody, with a tag by which a browser asks whether it is still the one that it has. */
import { createHash } from 'node:crypto'
import { extname } from 'node:path'
import type { FastifyReply, FastifyRequest } from 'fastify'

export type PageFile = { readonly type: string; readonly etag: string; readonly content: Buffer }

const TYPES: { readonly [extension: string]: string } = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.svg': 'image/svg+xml',
}
const HEADERS = {
  // Kept, and asked about each time: after an upgrade no file of the earlier release is used.
  'cache-control': 'no-cache',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
}

/** `name`: its ending tells the type. */
export const pageFile = (name: string, content: Buffer): PageFile => ({
  type: TYPES[extname(name)]!,
  etag: `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`,
  content,
})

export function sendFile(request: FastifyRequest, reply: FastifyReply, file: PageFile, policy: string): FastifyReply {
  const { type, etag, content } = file
  reply.headers({ ...HEADERS, 'content-security-policy': policy, etag })
  if (request.headers['if-none-match'] === etag) return reply.code(304).send()
  return reply.type(type).send(content)
}
