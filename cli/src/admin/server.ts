/** `parsec admin stats`, `connections`, `services`, `nodes`, `warnings` and `mail-test` */
import { argument, optional } from '../command-line/option.ts'
import { TEXT } from '../command-line/values.ts'
import type { Json } from './api.ts'
import { adminCommand } from './command.ts'
import { rest } from './organizations.ts'
import { bytes, type Column, instant, number, size, text } from './table.ts'
import { INSTANT, limit, organization } from './values.ts'

const PROFILES = ['ADMIN', 'STANDARD', 'OUTSIDER']
const perProfile = (profile: string, state: 'active' | 'revoked'): Column => ({
  head: `${profile.toLowerCase()}_users_${state}`,
  of: ({ users_per_profile_detail: all }) => all.find((detail: Json) => detail.profile === profile)?.[state] ?? 0,
  isRight: true,
})
const STATS: readonly Column[] = [
  text('organization_id'),
  size('data_size'),
  size('metadata_size'),
  number('realms'),
  number('active_users'),
  ...PROFILES.flatMap(profile => [perProfile(profile, 'active'), perProfile(profile, 'revoked')]),
]
const sum = (items: readonly Json[], field: string): number => items.reduce((sum, item) => sum + item[field], 0)

const replica = { head: 'replica', of: (item: Json) => item.replica }

export const serverCommands = [
  adminCommand({
    path: 'parsec admin stats',
    summary: 'Show users and sizes of all organizations, now or as of a date.',
    description:
      'Show users and sizes of all organizations. With --at they are counted as of then, which takes its time.',
    examples: ['parsec admin stats', 'parsec admin stats --at 2030-01-01 --csv > january.csv'],
    options: {
      at: optional({ name: 'at', type: INSTANT, defaultText: 'now', group: 'Output', text: 'As of then.' }),
    },
    async run(api, { at }) {
      const whole = await api.get('/stats', { format: 'json', at: at && String(at) })
      const { stats } = whole
      const after = `${stats.length} organizations, ${sum(stats, 'active_users')} active users, ${bytes(sum(stats, 'data_size'))} of data, ${bytes(sum(stats, 'metadata_size'))} of metadata\n`
      return { whole, items: stats, columns: STATS, after }
    },
  }),
  adminCommand({
    path: 'parsec admin connections',
    summary: 'List who is connected, or cut a connection.',
    description:
      'List open connections, oldest first. With --cut one of them is closed; the client comes back by itself: `user freeze` keeps somebody out.',
    examples: [
      'parsec admin connections --organization Acme',
      'parsec admin connections --cut 0123456789abcdef0123456789abcdef',
    ],
    options: {
      organization: optional({
        name: 'organization',
        type: organization.type,
        group: 'Output',
        text: 'Only those of this organization.',
      }),
      user: optional({ name: 'user', type: TEXT, group: 'Output', text: 'Only those of the user with this id.' }),
      limit,
      cut: optional({
        name: 'cut',
        type: { ...TEXT, metavar: 'CONN_ID' },
        group: 'General',
        text: 'Close this connection instead.',
      }),
    },
    async run(api, { organization, user, limit, cut }) {
      if (cut !== undefined) {
        const whole = await api.send('DELETE', `/v2/connections/${encodeURIComponent(cut)}`)
        return { whole, text: 'The connection is closed.\n' }
      }
      const query = { organization_id: organization, user_id: user }
      const whole = await api.list('/v2/connections', 'connections', query, limit)
      const columns = [
        text('conn_id'),
        text('kind'),
        text('organization_id'),
        text('device_id'),
        text('api_version'),
        text('client_release'),
        text('address'),
        instant('since'),
        { head: 'gateway', of: ({ gateway }: Json) => gateway.host },
      ]
      return { whole, items: whole.connections, columns, after: rest(whole.connections, whole.total) }
    },
  }),
  adminCommand({
    path: 'parsec admin services',
    summary: 'List the replicas of all services, with version and readiness.',
    description: 'List the replicas of all services: whether each is ready, and what it misses.',
    examples: ['parsec admin services'],
    options: {},
    async run(api) {
      const whole = await api.get('/v2/services')
      const columns = [
        text('service'),
        replica,
        text('host'),
        text('version'),
        { head: 'ready', of: ({ is_ready }: Json) => is_ready },
        instant('started_on'),
        {
          head: 'detail',
          of: ({ detail }: Json) =>
            Object.entries(detail)
              .map(([name, state]) => `${name}: ${state}`)
              .join('; '),
        },
      ]
      return { whole, items: whole.services, columns }
    },
  }),
  adminCommand({
    path: 'parsec admin nodes',
    summary: 'List the nodes of the block store with their state.',
    description: 'List the nodes of the block store, as each replica of the block store service sees them.',
    examples: ['parsec admin nodes'],
    options: {},
    async run(api) {
      const whole = await api.get('/v2/nodes')
      const items = whole.nodes.flatMap(({ index, name, views }: Json) =>
        views.map((view: Json) => ({ index, name, ...view })),
      )
      const columns = [
        number('index'),
        text('name'),
        text('state'),
        instant('failing_since'),
        number('operations'),
        number('failures'),
        number('missing'),
        number('corrupt'),
        replica,
        text('host'),
      ]
      return { whole, items, columns, after: whole.is_readable ? '' : 'Blocks cannot be read.\n' }
    },
  }),
  adminCommand({
    path: 'parsec admin warnings',
    summary: 'List the last warnings and errors of all logs.',
    description: 'List the last warnings and errors of all processes, newest first.',
    examples: ['parsec admin warnings --limit 20'],
    options: { limit },
    async run(api, { limit }) {
      const whole = await api.get('/v2/warnings', { limit: Math.min(limit, 1000) })
      const columns = [
        instant('at'),
        text('level'),
        text('service'),
        text('host'),
        text('event'),
        { head: 'keys', of: ({ keys }: Json) => JSON.stringify(keys) },
      ]
      return { whole, items: whole.warnings, columns }
    },
  }),
  adminCommand({
    path: 'parsec admin mail-test',
    summary: 'Send a mail, to see whether mails leave.',
    description:
      'Let the server send a mail to an address of yours. What the mail server says is shown when it does not take it.',
    examples: ['parsec admin mail-test me@example.com'],
    options: {
      to: argument({ name: 'ADDRESS', type: TEXT, text: 'To whom.' }),
    },
    async run(api, { to }) {
      const whole = await api.send('POST', '/v2/mail-test', { to })
      return { whole, text: `The mail server has taken a mail to ${to}, in ${whole.ms} ms.\n` }
    },
  }),
]
