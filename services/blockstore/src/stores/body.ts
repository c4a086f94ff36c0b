/** Reads the body of an answer, whole or not at all. */

import type { Readable } from 'node:stream'
import { limits } from '@parsec/shared/limits'
import { AttemptError } from './attempts.ts'

/**
 * The bytes of `body`, in memory of their own. `length` is what the answer's header announced. Rejects with a transient
 * `AttemptError` when the body ends early, with a lasting one when it is larger than any block; an aborted signal
 * closes the connection.
 */
export async function readBody(body: Readable, length: number | undefined, signal: AbortSignal): Promise<Buffer> {
  const onAbort = () => body.destroy(signal.reason)
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    if (length !== undefined && length > limits.object.value) throw tooLarge()
    const chunks: Buffer[] = []
    let target = length === undefined ? undefined : Buffer.allocUnsafeSlow(length)
    let at = 0
    for await (const chunk of body as AsyncIterable<Buffer>) {
      if (at + chunk.length > (length ?? limits.object.value)) throw tooLarge()
      if (target) chunk.copy(target, at)
      else chunks.push(chunk)
      at += chunk.length
    }
    target ??= Buffer.concat(chunks)
    if (at !== target.length) throw new AttemptError(`${at} of ${target.length} bytes`, { transient: true })
    return target
  } catch (cause) {
    if (signal.aborted) throw signal.reason
    if (cause instanceof AttemptError) throw cause
    throw new AttemptError(`broken answer: ${(cause as Error).message}`, { transient: true, cause })
  } finally {
    signal.removeEventListener('abort', onAbort)
    body.destroy()
  }
}

const tooLarge = () => new AttemptError(`object over ${limits.object.value} bytes`, { transient: false })
