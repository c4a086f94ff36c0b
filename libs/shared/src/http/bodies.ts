/** The bytes of requests and replies, which count among all that are in flight, and the time that clients have for them. */
import type { IncomingMessage } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { logEnd } from '../cuts.ts'
import { CLIENT_SILENCE_MS } from '../deadlines.ts'
import { limits } from '../limits.ts'
import type { Log } from '../log.ts'
import type { Hold, InFlight } from './in-flight.ts'

/** How much of a body that is too long is read and dropped, so that its sender gets to read the 413. */
const MAX_DROPPED_BYTES = 64 * limits.body.value
const EMPTY = Buffer.alloc(0)

class BadBody extends Error {
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
export function carryBodies(app: FastifyInstance, inFlight: InFlight, log: Log): void {
  const holds = new WeakMap<FastifyRequest, Hold>()
  const holdOf = (request: FastifyRequest, reply: FastifyReply): Hold => {
    let hold = holds.get(request)
    if (!hold) {
      const { socket } = request.raw
      const made = inFlight.hold(reason => {
        logEnd(log, 'Connection dropped: closed by the server', { reason })
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
    try {
      request.body = hasBody ? await readBody(request.raw, inFlight, () => holdOf(request, reply)) : EMPTY
    } catch (error) {
      // The rest of a body that was given up is not even dropped.
      if (!request.raw.complete) reply.header('connection', 'close')
      throw error
    }
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
  let body: Buffer = EMPTY
  let length = 0
  let pieces = 0
  let hold: Hold | undefined
  try {
    for await (const piece of payload as AsyncIterable<Buffer>) {
      body = length + piece.length <= limits.body.value ? appended(body, length, piece) : EMPTY
      length += piece.length
      if (length > MAX_DROPPED_BYTES || ++pieces > limits.body_pieces.value) break
      // What has come whole is not waited for.
      if (payload.complete && length <= limits.small_message.value) continue
      hold ??= makeHold()
      hold.receive(body.length)
      if (inFlight.isTooMuch(length)) await room(payload, inFlight, hold)
    }
  } catch {
    // The peer left in the middle of it.
    throw new BadBody(400)
  }
  if (length > limits.body.value || pieces > limits.body_pieces.value) throw new BadBody(413)
  hold?.keep(length)
  return body.subarray(0, length)
}
/** A body of which `length` bytes have come, with one more piece. Many small ones kept apart would cost far more than they hold. */
function appended(body: Buffer, length: number, piece: Buffer): Buffer {
  if (length === 0) return piece
  const needed = length + piece.length
  const room =
    needed <= body.length ? body : Buffer.allocUnsafeSlow(Math.max(needed, Math.min(2 * needed, limits.body.value)))
  if (room !== body) body.copy(room, 0, 0, length)
  piece.copy(room, length)
  return room
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
