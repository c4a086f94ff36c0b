/**
 * Reports errors to a Sentry project (spec 06 §9.3). Loaded only when a DSN is given.
 *
 * The client is made by hand: the SDK's own start reads `SENTRY_*` variables and attaches what it finds in the process,
 * where arguments and environment hold secrets. What leaves is what was logged, less the secrets that a text may hold.
 */

import { hostname } from 'node:os'
import { TELEMETRY_FLUSH_MS } from '@parsec/shared/deadlines'

import { OperatorError } from '@parsec/shared/errors'
import type { LogListener } from '@parsec/shared/log'
import { defaultStackParser, makeNodeTransport, NodeClient, Scope } from '@sentry/node'
import type { SentrySettings } from '../settings.ts'
import { version } from '../version.ts'
import { scrubber } from './secrets.ts'

const LOGGER = 'parsec.structlog'
const DSN = /^https?:\/\/\w+(?::\w+)?@[^/\s]+\/(?:[^\s]*\/)?\d+$/

export type Telemetry = {
  /** Lines of the log are breadcrumbs, and events from level ERROR on. */
  note: LogListener
  /** Sends what is pending, for at most two seconds. */
  close(): Promise<void>
}

/** Throws `OperatorError` when the DSN is not one. */
export function openTelemetry({ dsn, environment, services, secrets }: SentrySettings): Telemetry {
  // Asked first, since the SDK prints what it does not understand.
  if (!DSN.test(dsn)) refuseDsn()
  const scrub = scrubber(secrets)
  const client = new NodeClient({
    dsn,
    environment,
    release: version(),
    transport: makeNodeTransport,
    stackParser: defaultStackParser,
    integrations: [],
    serverName: hostname(),
    beforeSend: event => ({ ...scrub(event), logger: LOGGER }),
  })
  if (!client.getDsn()) refuseDsn()
  const scope = new Scope()
  scope.setClient(client)
  scope.setTag('service', services.join(','))
  client.init()
  return {
    note: noteIn(client, scope),
    close: async () => void (await client.close(TELEMETRY_FLUSH_MS)),
  }
}

const noteIn =
  (client: NodeClient, scope: Scope): LogListener =>
  (severity, event, { exception, ...extra }) => {
    const level = severity === 'critical' ? 'fatal' : severity
    if (level === 'error' || level === 'fatal') {
      const { service } = extra
      const tags = typeof service === 'string' ? { tags: { service } } : {}
      const report = { level, extra: { ...extra, event }, ...tags } as const
      if (exception instanceof Error) client.captureException(exception, { captureContext: report }, scope)
      else client.captureEvent({ ...report, message: event }, {}, scope)
    }
    scope.addBreadcrumb({ level, category: LOGGER, message: event, data: extra })
  }

function refuseDsn(): never {
  throw new OperatorError(
    '--sentry-dsn (PARSEC_SENTRY_DSN) is not a Sentry DSN, which looks like https://key@sentry.example.com/42',
  )
}
