/** What is said at the terminal when a server starts (spec 06 §5.2). */

import { sha256 } from '@parsec/shared/http/administration-tokens'
import { inBrackets } from '@parsec/shared/http/netloc'
import { TRIAL_TOKEN } from '../command-line/argv.ts'
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

/** What whoever tries the server out does next, once it is ready. */
export function trialSteps({ http, administrationTokens }: ServerSettings): string {
  const end = 'Nothing is kept: all data is in memory. Ctrl-C stops.\n'
  const digest = sha256(TRIAL_TOKEN)
  const isUsual = administrationTokens?.some(token => token.sha256.equals(digest))
  if (!http || http.port === 0 || !isUsual) return `Ready. ${end}`
  const url = `${http.tls ? 'https' : 'http'}://${reachable(http.host)}:${http.port}`
  const parsec = import.meta.url.endsWith('.ts') ? 'npm run --silent parsec --' : 'parsec'
  const server = url === USUAL_SERVER ? '' : ` --server ${url}`
  return `Ready. The console is at ${url}/administration/, its token is ${TRIAL_TOKEN}. In another terminal:
  PARSEC_ADMINISTRATION_TOKEN=${TRIAL_TOKEN} ${parsec} admin org create Acme${server}
${end}`
}
/** From this machine, when it listens on every address. */
const reachable = (host: string): string => (['0.0.0.0', '::'].includes(host) ? '127.0.0.1' : inBrackets(host))
/** Where `parsec admin` looks by itself. */
const USUAL_SERVER = 'http://127.0.0.1:6777'
