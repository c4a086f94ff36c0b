/** The server as a whole: who asks, what there is, what happened, and whether mails leave. */
import { callInternal } from '@parsec/shared/bus/rpc'
import { DateTime } from '@parsec/shared/codec/values'
import { ACTIVITY_BOUNDS, type ActivityMinute } from '@parsec/shared/protocol/replica'
import { serverVersion } from '@parsec/shared/version'
import { z } from 'zod'
import { type Endpoint, endpoint, refuse } from '../endpoint.ts'
import { bearerOf } from '../route.ts'
import { count, instant, size, unanswered, whole } from './fields.ts'
import { replicasOf } from './replica.ts'

const token = endpoint(
  {
    method: 'GET',
    path: '/v2/token',
    operationId: 'showToken',
    tag: 'Server',
    summary: 'Show what the token of the request may do',
    answer: z.object({
      name: z.string(),
      scopes: z.array(z.enum(['read', 'write'])),
      server_version: z.string(),
    }),
    example: { answer: { name: 'console', scopes: ['read', 'write'], server_version: '1.0.0' } },
  },
  async (_, { request }) => {
    const { name, scopes } = bearerOf(request)!
    return { name, scopes: [...scopes], server_version: serverVersion() }
  },
)

const figures = {
  users: count().describe('Revoked ones included.'),
  active_users: count(),
  realms: count(),
  data_size: size(),
  metadata_size: size(),
}

const overview = endpoint(
  {
    method: 'GET',
    path: '/v2/overview',
    operationId: 'showOverview',
    tag: 'Server',
    summary: 'Show what all organizations have together',
    answer: z.object({
      organizations: z.object({ total: count(), bootstrapped: count(), expired: count() }),
      ...figures,
      connections: count().describe('Open now.'),
      users_connected: count(),
      unanswered: unanswered(),
    }),
  },
  async ({ bus, roll }) => {
    const [found, { answers, unanswered }] = await Promise.all([
      callInternal(bus, 'admin_figures', {}),
      roll.ask('connected', {}, 'gateway'),
    ])
    const { organizations: total, bootstrapped, expired, ...sums } = found
    return {
      organizations: { total, bootstrapped, expired },
      ...sums,
      connections: answers.reduce((sum, { reply }) => sum + reply.connections, 0),
      users_connected: answers.reduce((sum, { reply }) => sum + reply.users, 0),
      unanswered: replicasOf(unanswered),
    }
  },
)

const MINUTE_SECONDS = 60
const HOUR_MINUTES = 60

const activity = endpoint(
  {
    method: 'GET',
    path: '/v2/activity',
    operationId: 'showActivity',
    tag: 'Server',
    summary: 'Show what clients asked in the last hour, minute by minute',
    query: { minutes: whole(1, HOUR_MINUTES, HOUR_MINUTES) },
    answer: z.object({
      minutes: z
        .array(
          z.object({
            at: instant(),
            requests: count(),
            errors: count().describe('Ended with an outage or a failure of the server.'),
            connections: count().describe('At the end of the minute.'),
            p50_ms: z.number().nullable().describe('Half of the requests took no longer.'),
            p95_ms: z.number().nullable(),
            p99_ms: z.number().nullable(),
          }),
        )
        .describe('Oldest first; the last one is not over yet.'),
      unanswered: unanswered(),
    }),
  },
  async ({ roll }, { query: { minutes } }) => {
    const { answers, unanswered } = await roll.ask('activity', {}, 'gateway')
    const now = Math.floor(DateTime.now().second / MINUTE_SECONDS)
    const all = answers.flatMap(({ reply }) => reply.minutes)
    const asked = Array.from({ length: minutes }, (_, back) => now - minutes + 1 + back)
    return {
      minutes: asked.map(minute =>
        together(
          minute,
          all.filter(one => one.minute === minute),
        ),
      ),
      unanswered: replicasOf(unanswered),
    }
  },
)
function together(minute: number, parts: readonly ActivityMinute[]) {
  const sum = (pick: (part: ActivityMinute) => number) => parts.reduce((sum, part) => sum + pick(part), 0)
  const durations = Array.from({ length: ACTIVITY_BOUNDS.length + 1 }, (_, i) => sum(part => part.durations[i] ?? 0))
  return {
    at: DateTime.of(minute * MINUTE_SECONDS, 0),
    requests: sum(part => part.requests),
    errors: sum(part => part.errors),
    connections: sum(part => part.connections),
    p50_ms: quantile(durations, 0.5),
    p95_ms: quantile(durations, 0.95),
    p99_ms: quantile(durations, 0.99),
  }
}
/** The upper bound of the class in which it lies. */
function quantile(durations: readonly number[], share: number): number | null {
  const all = durations.reduce((sum, n) => sum + n, 0)
  if (all === 0) return null
  let seen = 0
  const at = durations.findIndex(n => (seen += n) >= all * share)
  return ACTIVITY_BOUNDS[at] ?? ACTIVITY_BOUNDS.at(-1)!
}

const history = endpoint(
  {
    method: 'GET',
    path: '/v2/history',
    operationId: 'showHistory',
    tag: 'Server',
    summary: 'Show how much there was over time',
    description: 'From samples that the server takes: one a day, or one an hour for a week and less. Oldest first.',
    query: { days: whole(1, 3650, 30) },
    answer: z.object({ samples: z.array(z.object({ at: instant(), organizations: count(), ...figures })) }),
  },
  async ({ bus }, { query: { days } }) => callInternal(bus, 'admin_history', { days }),
)

/** What SMTP can carry. */
const MAIL_ADDRESS = /^[!-;=?-~]+@[!-;=?-~]+$/

const mailTest = endpoint(
  {
    method: 'POST',
    path: '/v2/mail-test',
    operationId: 'sendTestMail',
    tag: 'Server',
    summary: 'Send a mail to see whether mails leave',
    body: z.object({ to: z.string().min(3).max(254).regex(MAIL_ADDRESS, 'Not an address like admin@example.com.') }),
    answer: z.object({ to: z.string(), ms: count() }),
    refusals: { 409: ['mail_not_configured'], 502: ['mail_failed'] },
    example: { body: { to: 'admin@example.com' }, answer: { to: 'admin@example.com', ms: 230 } },
  },
  async ({ bus }, { body: { to } }) => {
    const startedAt = performance.now()
    const sent = await callInternal(bus, 'admin_mail_test', { to })
    if (sent.status === 'mail_not_configured') return refuse(409, sent.status, 'Without --email-host no mail is sent.')
    if (sent.status === 'mail_failed') return refuse(502, sent.status, sent.reason)
    return { to, ms: Math.round(performance.now() - startedAt) }
  },
)

export const serverEndpoints: readonly Endpoint[] = [token, overview, activity, history, mailTest]
