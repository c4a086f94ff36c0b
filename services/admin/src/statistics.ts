/** Statistics of the whole server, as JSON or CSV (spec 02 §7.6). */
import { callInternal } from '@parsec/shared/bus/rpc'
import { DateTime } from '@parsec/shared/codec/values'
import type { ServerStatsItem } from '@parsec/shared/protocol/internal'
import { USER_PROFILES } from '@parsec/shared/protocol/types'
import type { FastifyInstance } from 'fastify'
import { badData } from './body.ts'
import { answer, type Deps } from './route.ts'

const BAD_FORMAT = badData('Missing/invalid mandatory query argument `format` (expected `csv` or `json`)')
const BAD_AT = badData('Invalid `at` query argument (expected RFC3339 datetime)')

const CSV_COLUMNS = [
  'organization_id',
  'data_size',
  'metadata_size',
  'realms',
  'active_users',
  ...USER_PROFILES.flatMap(profile => [
    `${profile.toLowerCase()}_users_active`,
    `${profile.toLowerCase()}_users_revoked`,
  ]),
]

export function statisticsRoutes(app: FastifyInstance, deps: Deps): void {
  app.get('/stats', async (request, reply) => {
    const { format, at } = request.query as { [name: string]: unknown }
    if (format !== 'json' && format !== 'csv') return answer(deps, request, reply, 400, BAD_FORMAT)
    const instant = at === undefined || at === '' ? null : typeof at === 'string' ? instantOf(at) : undefined
    if (instant === undefined) return answer(deps, request, reply, 400, BAD_AT)
    const { stats } = await callInternal(deps.bus, 'administration_server_stats', { at: instant })
    if (format === 'json') return answer(deps, request, reply, 200, { stats })
    reply.type('text/csv')
    return answer(deps, request, reply, 200, toCsv(stats))
  })
}

/** Within the years that dates of the protocol have; undefined for others, and what is no date. */
function instantOf(text: string): DateTime | undefined {
  const instant = DateTime.parse(text)
  return instant && DateTime.fromSeconds(instant.seconds) && instant
}

/** One header line, one line per organization, each ended by CRLF. No value needs quotes. */
function toCsv(stats: readonly ServerStatsItem[]): string {
  const lines = stats.map(item => [
    item.organization_id,
    item.data_size,
    item.metadata_size,
    item.realms,
    item.active_users,
    ...USER_PROFILES.flatMap(profile => {
      const detail = item.users_per_profile_detail.find(detail => detail.profile === profile)
      return [detail?.active ?? 0, detail?.revoked ?? 0]
    }),
  ])
  return [CSV_COLUMNS, ...lines].map(line => `${line.join(',')}\r\n`).join('')
}
