/** The bytes of requests and replies, which count among all that are in flight, and the time that clients have for them. */
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { CLIENT_SILENCE_MS } from '../deadlines.ts'
import { limits } from '../limits.ts'
import type { Hold, InFlight } from './in-flight.ts'

/** How much of a body that is too long is read and dropped, so that its sender gets to read the 413. */
const MAX_DROPPED_BYTES = 64 * limits.body.value
const EMPTY = Buffer.alloc(0)

export class BadBody extends Error {
  readonly statusCode: number
  constructor(statusCode: number) {
    super(`body refused with ${statusCode}`)
    this.statusCode = statusCode
  }
}

/**
 * Reads bodies ourselves: the framework would refuse content types that are for the routes to judge. `request.body` is
 * then a `Buffer`. A reply that its client does not read is given up.
 */
export function carryBodies(app: FastifyInstance, inFlight: InFlight): void {
  const holds = new WeakMap<FastifyRequest, Hold>()
  const holdOf = (request: FastifyRequest, reply: FastifyReply): Hold => {
    let hold = holds.get(request)
    if (!hold) {
      const { socket } = request.raw
      const made = inFlight.hold(() => {
        made.end()
        socket.destroy()
      })
      holds.set(request, made)
      reply.raw.once('close', () => made.end())
      hold = made
    }
    return hold
  }

  for (const method of app.supportedMethods) app.addHttpMethod(method, { hasBody: false, overrideExisting: true })
  app.addHook('preValidation', async (request, reply) => {
    const { headers } = request.raw
    const hasBody = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined
    request.body = hasBody ? await readBody(request.raw, inFlight, () => holdOf(request, reply)) : EMPTY
  })
  app.addHook('onSend', (request, reply, payload, done) => {
    const size = Buffer.isBuffer(payload) || typeof payload === 'string' ? Buffer.byteLength(payload) : 0
    if (size > limits.small_message.value) {
      holdOf(request, reply).send(size)
      // A silent reader; the server ends its socket. With the next request it has its own time again.
      request.raw.socket.setTimeout(CLIENT_SILENCE_MS)
    }
    done(null, payload)
  })
}

/** All of a body. One that is too long is refused only when its sender is done, or beyond patience. */
async function readBody(payload: IncomingMessage, inFlight: InFlight, makeHold: () => Hold): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  let hold: Hold | undefined
  try {
    for await (const chunk of payload as AsyncIterable<Buffer>) {
      length += chunk.length
      if (length <= limits.body.value) chunks.push(chunk)
      else chunks.length = 0
      if (length > MAX_DROPPED_BYTES) break
      if (length <= limits.small_message.value) continue
      hold ??= makeHold()
      hold.receive(chunks.length === 0 ? 0 : length)
      if (inFlight.isTooMuch(length)) await room(payload, inFlight, hold)
    }
  } catch {
    // The peer left in the middle of it.
    throw new BadBody(400)
  }
  if (length > limits.body.value) throw new BadBody(413)
  hold?.keep(length)
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, length)
}

/** Resolves when there is room, or the peer has left. */
async function room(payload: IncomingMessage, inFlight: InFlight, hold: Hold): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  hold.pause()
  inFlight.whenRoom(resolve)
  payload.once('close', resolve)
  await promise
  payload.off('close', resolve)
  inFlight.forget(resolve)
  hold.goOn()
}
