/** Tells the operator's URL of each bootstrapped organization (spec 02 §5). Its outcome changes nothing. */
import type { Log } from '@parsec/shared/log'
import type { OrganizationID } from '@parsec/shared/protocol/types'
import type { NewUser } from '../user/certificates.ts'

const TIMEOUT_MS = 30_000

/** Resolves when the receiver answered or failed; logs a failure. */
export async function notifyBootstrap(
  url: string,
  organization_id: OrganizationID,
  { user, device }: NewUser,
  log: Log,
): Promise<void> {
  const body = JSON.stringify({
    organization_id,
    device_id: device.device_id,
    device_label: device.device_label,
    human_email: user.human_handle?.[0] ?? null,
    human_label: user.human_handle?.[1] ?? null,
  })
  try {
    const headers = { 'content-type': 'application/json; charset=utf-8' }
    const response = await fetch(url, { method: 'POST', headers, body, signal: AbortSignal.timeout(TIMEOUT_MS) })
    await response.body?.cancel()
    if (!response.ok) log.warning('webhook bad return status', { organization_id, return_status: response.status })
  } catch (error) {
    log.warning('webhook failure', {
      organization_id,
      cause: error instanceof Error ? String(error.cause ?? error.message) : String(error),
    })
  }
}
