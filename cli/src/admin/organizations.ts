/** `parsec admin org …` */

import { OperatorError } from '@parsec/shared/errors'
import { ORGANIZATION_SORTS, ORGANIZATION_STATES } from '@parsec/shared/protocol/administration'
import { flag, optional } from '../command-line/option.ts'
import type { Output } from '../command-line/output.ts'
import { TEXT } from '../command-line/values.ts'
import type { AdminApi, Json } from './api.ts'
import { adminCommand, type Shown } from './command.ts'
import { bytes, type Column, instant, moment, number, size, text } from './table.ts'
import { INSTANT, limit, order, organization, search, settings, settingsOf, sort, state } from './values.ts'

/** Where the API has an organization. */
export const organizationPath = (organization_id: string): string =>
  `/v2/organizations/${encodeURIComponent(organization_id)}`

const COLUMNS: readonly Column[] = [
  text('organization_id'),
  { head: 'state', of: stateOf },
  number('active_users'),
  { ...number('active_users_limit'), shown: item => item.active_users_limit ?? 'none' },
  number('users'),
  number('realms'),
  size('data_size'),
  size('metadata_size'),
  instant('created_on'),
]
function stateOf({ is_expired, is_bootstrapped }: Json): string {
  return is_expired ? 'expired' : is_bootstrapped ? 'in use' : 'waiting'
}

const one = (organization: Json): Shown => ({
  whole: organization,
  items: [organization],
  columns: COLUMNS,
  after: [
    `\ncreated ${moment(organization.created_on)}`,
    organization.bootstrapped_on && `bootstrapped ${moment(organization.bootstrapped_on)}`,
    organization.expiration_date && `expires ${moment(organization.expiration_date)}`,
    organization.expired_on && `expired since ${moment(organization.expired_on)}`,
    organization.is_sequestered && 'sequestered',
    `outsiders ${organization.user_profile_outsider_allowed ? 'allowed' : 'not allowed'}`,
    ...organization.users_per_profile_detail.map(
      ({ profile, active, revoked }: Json) => `${profile} ${active} active, ${revoked} revoked`,
    ),
  ]
    .filter(Boolean)
    .join('\n')
    .concat('\n'),
})

/** The link for whoever becomes the first user, on a terminal as a picture too. */
async function invitation({ bootstrap_link }: Json, whole: Json, output: Output): Promise<Shown> {
  const picture = output.colours ? `\n${(await import('qr')).default(bootstrap_link, 'ascii')}\n` : ''
  return { whole, text: `${bootstrap_link}\n${picture}` }
}

export const organizationCommands = [
  adminCommand({
    path: 'parsec admin org list',
    summary: 'List organizations.',
    description: 'List organizations with their users and sizes.',
    examples: [
      'parsec admin org list --sort data_size --order desc --limit 10',
      'parsec admin org list --state waiting',
    ],
    options: {
      search,
      state: state(ORGANIZATION_STATES),
      sort: sort(ORGANIZATION_SORTS, 'organization_id'),
      order: order('asc'),
      limit,
    },
    async run(api, { limit, ...query }) {
      const whole = await api.list('/v2/organizations', 'organizations', query, limit)
      return { whole, items: whole.organizations, columns: COLUMNS, after: rest(whole.organizations, whole.total) }
    },
  }),
  adminCommand({
    path: 'parsec admin org create',
    summary: 'Create an organization, and show the link for its first user.',
    description:
      'Create an organization. Whoever opens the link that is shown becomes its first user and administrator: send it over a way that you trust. As long as nobody has, the organization can be created again, which makes a new link.',
    examples: ['parsec admin org create Acme --active-users-limit 50'],
    options: { organization, ...settings },
    async run(api, { organization, ...values }, output) {
      const created = await api.send('POST', '/v2/organizations', {
        organization_id: organization,
        ...settingsOf(values),
      })
      return invitation(created, created, output)
    },
  }),
  adminCommand({
    path: 'parsec admin org link',
    summary: 'Show the link for the first user of an organization again.',
    description: 'Show the link of an organization that nobody has bootstrapped yet.',
    examples: ['parsec admin org link Acme'],
    options: { organization },
    async run(api, { organization }, output) {
      const link = await api.get(`${organizationPath(organization!)}/bootstrap`)
      return invitation(link, link, output)
    },
  }),
  adminCommand({
    path: 'parsec admin org show',
    summary: 'Show an organization.',
    description: 'Show an organization with its limits, users and sizes.',
    examples: ['parsec admin org show Acme'],
    options: { organization },
    run: async (api, { organization }) => one(await api.get(organizationPath(organization!))),
  }),
  adminCommand({
    path: 'parsec admin org set',
    summary: 'Change the limits of an organization.',
    description: 'Change the limits of an organization. What is not named stays; the new state is shown.',
    examples: [
      'parsec admin org set Acme --active-users-limit 100',
      'parsec admin org set Acme --active-users-limit none',
    ],
    options: { organization, ...settings },
    async run(api, { organization, ...values }) {
      const change = settingsOf(values)
      if (Object.values(change).every(value => value === undefined)) {
        const names = Object.values(settings).map(({ name }) => `--${name}`)
        throw new OperatorError(`nothing to change: give one of ${names.join(', ')}`)
      }
      return one(await api.send('PATCH', organizationPath(organization!), change))
    },
  }),
  adminCommand({
    path: 'parsec admin org expire',
    summary: 'Close an organization, now or at a date, or open it again.',
    description:
      'Close an organization: its users are disconnected and cannot connect, and nothing is lost. With --on it closes by itself then; with --undo it is open again, and closes at no date.',
    examples: [
      'parsec admin org expire Acme',
      'parsec admin org expire Acme --on 2030-01-31',
      'parsec admin org expire Acme --undo',
    ],
    options: {
      organization,
      on: optional({ name: 'on', type: INSTANT, group: 'Organizations', text: 'When; by default now.' }),
      undo: flag({ name: 'undo', group: 'Organizations', text: 'Open it again.' }),
    },
    async run(api, { organization, on, undo }) {
      if (undo && on) throw new OperatorError('--on and --undo do not go together')
      const change = undo
        ? { is_expired: false, expiration_date: null }
        : on
          ? { expiration_date: on }
          : { is_expired: true }
      return one(await api.send('PATCH', organizationPath(organization!), change))
    },
  }),
  adminCommand({
    path: 'parsec admin org delete',
    summary: 'Delete an organization for good, in two steps.',
    description:
      'Delete an organization with everything that it has. The first call deletes nothing: it shows what would go, and a code. With --confirm and that code everything goes. There is no way back: `parsec backend export` makes an archive before.',
    examples: ['parsec admin org delete Acme', 'parsec admin org delete Acme --confirm 1a2b3c4d'],
    options: {
      organization,
      confirm: optional({
        name: 'confirm',
        type: { ...TEXT, metavar: 'CODE' },
        group: 'Organizations',
        text: 'The code of the first step.',
      }),
    },
    run: (api, { organization, confirm }) => deletion(api, organization!, confirm),
  }),
]

/** Large organizations take several calls, each of which goes on where the last one ended. */
async function deletion(api: AdminApi, organization_id: string, confirm: string | undefined): Promise<Shown> {
  const call = () => api.call({ method: 'DELETE', path: organizationPath(organization_id), query: { confirm } })
  let { status, json } = await call()
  while (status === 202) ({ status, json } = await call())
  if (status === 200) return { whole: json, text: `${organization_id} is deleted.\n` }
  if (status === 404) throw new OperatorError('there is no such organization')
  if (status !== 409) throw new OperatorError(json.reason ?? json.error)
  const { users, realms, data_size, code } = json
  return {
    whole: json,
    text: `Nothing is deleted yet. ${organization_id} has ${users} users, ${realms} realms and ${bytes(data_size)} of data: all of it would go.\nTo delete it for good: parsec admin org delete ${organization_id} --confirm ${code}\n`,
  }
}

/** How many are not shown. */
export const rest = (items: readonly Json[], total: number): string =>
  items.length < total ? `… and ${total - items.length} more\n` : ''
