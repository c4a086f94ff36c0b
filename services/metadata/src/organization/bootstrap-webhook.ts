/** Tells the operator's URL of each bootstrapped organization (spec 02 §5). Its outcome changes nothing. */
import { BOOTSTRAP_WEBHOOK_MS } from '@parsec/shared/deadlines'
import type { Log } from '@parsec/shared/log'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import type { NewUser } from '../user/certificates.ts'

/** Resolves when the receiver answered or failed, and at the latest when `stopping` fires; logs a failure. */
export async function notifyBootstrap(
  url: string,
  organization_id: OrganizationID,
  { user, device }: NewUser,
  { log, stopping }: { log: Log; stopping: AbortSignal },
): Promise<void> {
  const body = JSON.stringify({
    organization_id,
    device_id: device.device_id,
    device_label: device.device_label,
    human_email: user.human_handle?.[0] ?? null,
    human_label: user.human_handle?.[1] ?? null,
  })
  try {
    // Not that of the request: it is told also when the client has left.
    const signal = AbortSignal.any([stopping, AbortSignal.timeout(BOOTSTRAP_WEBHOOK_MS)])
    const headers = { 'content-type': 'application/json; charset=utf-8' }
    const response = await fetch(url, { method: 'POST', headers, body, signal })
    await response.body?.cancel()
    if (!response.ok) log.warning('webhook bad return status', { organization_id, return_status: response.status })
  } catch (error) {
    log.warning('webhook failure', {
      organization_id,
      cause: error instanceof Error ? String(error.cause ?? error.message) : String(error),
    })
  }
}
