/**
 * Asks WEBHOOK services whether a version may be stored (spec 05 §14.3). Called outside any transaction: a receiver may
 * take its time, and may be away.
 */
import type { Budget } from '@parsec/shared/budget'
import { WEBHOOKS_MS } from '@parsec/shared/deadlines'
import type { Log } from '@parsec/shared/log'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import type { ServiceBlob } from './blobs.ts'

/** Most bytes of an answer that are read. */
const MAX_ANSWER_BYTES = 64 * 1024
const NO_REASON = 'File rejected (no reason)'

/** Asks one after the other; the first that does not agree decides, and later ones are not asked. */
export async function webhookRefusal(
  organization_id: OrganizationID,
  blobs: readonly ServiceBlob[],
  { log, budget }: { log: Log; budget: Budget },
) {
  const hooked = blobs.filter(({ service }) => service.type === 'WEBHOOK')
  if (hooked.length === 0) return undefined
  const signal = AbortSignal.any([budget.signal, AbortSignal.timeout(WEBHOOKS_MS)])
  for (const { service, blob } of hooked) {
    const { service_id, service_label } = service
    const keys = { organization_id, service_id: service_id.hex }
    try {
      const response = await fetch(webhookUrl(service.webhook_url!, keys), {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: new Uint8Array(blob),
        signal,
      })
      if (response.status === 400) {
        const reason = await reasonOf(response)
        return { status: 'rejected_by_sequester_service' as const, service_id, service_label, reason }
      }
      await response.body?.cancel()
      if (response.ok) continue
      log.warning('Sequester webhook bad return status', { ...keys, return_status: response.status })
    } catch (error) {
      const cause = error instanceof Error ? String(error.cause ?? error.message) : String(error)
      log.warning('Sequester webhook failure', { ...keys, cause })
    }
    return { status: 'timeout' as const }
  }
  return undefined
}

/** The operator's URL with organization and service added to its query. */
function webhookUrl(text: string, keys: { organization_id: string; service_id: string }): URL {
  const url = new URL(text)
  url.search = `${url.search === '' ? '?' : `${url.search}&`}${new URLSearchParams(keys)}`
  return url
}

/** The status alone rejects: an answer that says no reason, or is no JSON, garbled or cut off, rejects without one. */
async function reasonOf(response: Response): Promise<string> {
  try {
    const { reason } = JSON.parse(await readAnswer(response)) as { reason?: unknown }
    return typeof reason === 'string' ? reason.toWellFormed() : NO_REASON
  } catch {
    return NO_REASON
  }
}

/** The beginning of the answer, as text without byte order mark. It costs its bytes, however many pieces it comes in. */
async function readAnswer(response: Response): Promise<string> {
  const answer = Buffer.allocUnsafe(MAX_ANSWER_BYTES)
  let length = 0
  for await (const chunk of response.body ?? []) {
    length += Buffer.from(chunk).copy(answer, length)
    if (length === MAX_ANSWER_BYTES) break
  }
  return new TextDecoder().decode(answer.subarray(0, length))
}
