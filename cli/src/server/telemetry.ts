/**
 * Reports errors to a Sentry project (spec 06 §9.3). Loaded only when a DSN is given.
 *
 * The client is made by hand: the SDK's own start reads `SENTRY_*` variables and attaches what it finds in the process,
 * where arguments and environment hold secrets. What leaves is what was logged, less the secrets that a text may hold.
 */

import { hostname } from 'node:os'
import { TELEMETRY_FLUSH_MS } from '@parsec/shared/deadlines'

import { OperatorError } from '@parsec/shared/errors'
import type { Log, LogKeys } from '@parsec/shared/log'
import { defaultStackParser, makeNodeTransport, NodeClient, Scope, type SeverityLevel } from '@sentry/node'
import type { SentrySettings } from '../settings.ts'
import { version } from '../version.ts'
import { scrubber } from './secrets.ts'

const LOGGER = 'parsec.structlog'
const DSN = /^https?:\/\/\w+(?::\w+)?@[^/\s]+\/(?:[^\s]*\/)?\d+$/

export type Telemetry = {
  /** A log whose entries are also breadcrumbs, and events from level ERROR on. */
  watch(log: Log): Log
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
    watch: log => watched(log, client, scope, {}),
    close: async () => void (await client.close(TELEMETRY_FLUSH_MS)),
  }
}

function watched(log: Log, client: NodeClient, scope: Scope, bound: LogKeys): Log {
  const tell = (level: SeverityLevel, event: string, keys: LogKeys | undefined) => {
    const { error, ...extra } = { ...bound, ...keys }
    if (level === 'error' || level === 'fatal') {
      const { service } = extra
      const tags = typeof service === 'string' ? { tags: { service } } : {}
      const report = { level, extra: { ...extra, event }, ...tags }
      if (error instanceof Error) client.captureException(error, { captureContext: report }, scope)
      else client.captureEvent({ ...report, message: event }, {}, scope)
    }
    scope.addBreadcrumb({ level, category: LOGGER, message: event, data: extra })
  }
  return {
    debug: (event, keys) => log.debug(event, keys),
    info(event, keys) {
      tell('info', event, keys)
      log.info(event, keys)
    },
    warning(event, keys) {
      tell('warning', event, keys)
      log.warning(event, keys)
    },
    error(event, keys) {
      tell('error', event, keys)
      log.error(event, keys)
    },
    critical(event, keys) {
      tell('fatal', event, keys)
      log.critical(event, keys)
    },
    child: keys => watched(log.child(keys), client, scope, { ...bound, ...keys }),
  }
}

function refuseDsn(): never {
  throw new OperatorError(
    '--sentry-dsn (PARSEC_SENTRY_DSN) is not a Sentry DSN, which looks like https://key@sentry.example.com/42',
  )
}
