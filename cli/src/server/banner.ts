/** The line that announces a start (spec 06 §5.2). */

import { formatAddr } from '../command-line/values.ts'
import type { ServerSettings } from '../settings.ts'

/** The line that announces a start. It names no secret and comes before anything is contacted. */
export function banner(settings: ServerSettings): string {
  const runs = new Set(settings.services)
  const parts = [
    ...(settings.everyService ? [] : [`services=${settings.services.join(',')}`]),
    ...(settings.database ? [`db=${settings.database.kind}`] : []),
    ...(settings.store ? [`blockstore=${settings.store.type}`] : []),
    ...(runs.has('metadata') ? [`email=${settings.mail?.kind ?? 'off'}`] : []),
    `telemetry=${settings.sentry ? 'on' : 'off'}`,
    ...(settings.backendAddr ? [`backend_addr=${formatAddr(settings.backendAddr)}`] : []),
  ]
  const where = settings.http ? ` on ${settings.http.host}:${settings.http.port}` : ''
  return `Starting Parsec Backend${where} (${parts.join(' ')})\n`
}
