/** `parsec admin user …` and `parsec admin usage` */
import { OperatorError } from '@parsec/shared/errors'
import { USER_SORTS, USER_STATES } from '@parsec/shared/protocol/administration'
import { withDefault } from '../command-line/option.ts'
import { choice } from '../command-line/values.ts'
import type { AdminApi, Json } from './api.ts'
import { adminCommand, type Shown } from './command.ts'
import { organizationPath, rest } from './organizations.ts'
import { type Column, instant, number, size, text } from './table.ts'
import { limit, order, organization, search, sort, state, user } from './values.ts'

const COLUMNS: readonly Column[] = [
  text('user_id'),
  text('email'),
  text('name'),
  text('profile'),
  { head: 'state', of: ({ revoked_on, is_frozen }) => (revoked_on ? 'revoked' : is_frozen ? 'frozen' : 'active') },
  number('devices'),
  number('connections'),
  instant('last_seen_on'),
  instant('created_on'),
  instant('revoked_on'),
]

const usersOf = (organization_id: string): string => `${organizationPath(organization_id)}/users`

/** An argument with an @ is an e-mail address: that of the one user who has it and is not revoked. */
async function pathOf(api: AdminApi, organization_id: string, user: string): Promise<string> {
  if (!user.includes('@')) return `${usersOf(organization_id)}/${encodeURIComponent(user)}`
  const { users } = await api.list(usersOf(organization_id), 'users', { search: user, state: 'active' }, 1000)
  const [found] = users.filter(({ email }: Json) => email === user)
  if (!found) throw new OperatorError(`no user of ${organization_id} has the e-mail address ${user}`)
  return `${usersOf(organization_id)}/${encodeURIComponent(found.user_id)}`
}

async function freeze(api: AdminApi, organization_id: string, user: string, is_frozen: boolean): Promise<Shown> {
  const whole = await api.send('PATCH', await pathOf(api, organization_id, user), { is_frozen })
  return { whole, items: [whole.user], columns: COLUMNS }
}

export const userCommands = [
  adminCommand({
    path: 'parsec admin user list',
    summary: 'List the users of an organization.',
    description: 'List the users of an organization, with when they were last here and their open connections.',
    examples: ['parsec admin user list Acme --state active', 'parsec admin user list Acme --csv > users.csv'],
    options: {
      organization,
      search,
      state: state(USER_STATES),
      sort: sort(USER_SORTS, 'created_on'),
      order: order('asc'),
      limit,
    },
    async run(api, { organization, limit, ...query }) {
      const whole = await api.list(usersOf(organization!), 'users', query, limit)
      return { whole, items: whole.users, columns: COLUMNS, after: rest(whole.users, whole.total) }
    },
  }),
  adminCommand({
    path: 'parsec admin user freeze',
    summary: 'Disconnect a user and let none of their devices connect.',
    description: 'Freeze a user, as for a stolen device: until `unfreeze` none of their devices can connect.',
    examples: ['parsec admin user freeze Acme alice@example.com'],
    options: { organization, user },
    run: (api, { organization, user }) => freeze(api, organization!, user!, true),
  }),
  adminCommand({
    path: 'parsec admin user unfreeze',
    summary: 'Let a frozen user connect again.',
    description: 'Let a frozen user connect again.',
    examples: ['parsec admin user unfreeze Acme alice@example.com'],
    options: { organization, user },
    run: (api, { organization, user }) => freeze(api, organization!, user!, false),
  }),
  adminCommand({
    path: 'parsec admin user devices',
    summary: 'List the devices of a user.',
    description: 'List the devices of a user, with when each was last here.',
    examples: ['parsec admin user devices Acme alice@example.com'],
    options: { organization, user, limit },
    async run(api, { organization, user, limit }) {
      const whole = await api.list(`${await pathOf(api, organization!, user!)}/devices`, 'devices', {}, limit)
      const columns = [
        text('device_id'),
        text('label'),
        number('connections'),
        instant('last_seen_on'),
        instant('created_on'),
      ]
      return { whole, items: whole.devices, columns, after: rest(whole.devices, whole.total) }
    },
  }),
  adminCommand({
    path: 'parsec admin usage',
    summary: 'Show who, or which workspace, takes how much room in an organization.',
    description:
      'Show the users of an organization with the sizes of the realms that they own, or its realms, the largest first. A realm is a workspace, or what a user keeps for themselves; one with several owners counts for each of them.',
    examples: ['parsec admin usage Acme --limit 20', 'parsec admin usage Acme --by realm'],
    options: {
      organization,
      by: withDefault('user', {
        name: 'by',
        type: choice(['user', 'realm']),
        group: 'Output',
        text: 'What is listed.',
      }),
      limit,
    },
    run: (api, { organization, by, limit }) =>
      by === 'realm'
        ? usageOf(api, organization!, 'realms', REALM, limit)
        : usageOf(api, organization!, 'users', USER, limit),
  }),
]

const USER: readonly Column[] = [
  text('user_id'),
  text('email'),
  text('name'),
  number('owned_realms'),
  number('realms'),
  size('data_size'),
  size('metadata_size'),
]
const REALM: readonly Column[] = [
  text('realm_id'),
  { head: 'owners', of: ({ owners }) => owners.join(' ') },
  number('members'),
  size('data_size'),
  size('metadata_size'),
  text('archiving'),
  text('maintenance'),
  instant('created_on'),
]
async function usageOf(
  api: AdminApi,
  organization_id: string,
  list: 'users' | 'realms',
  columns: readonly Column[],
  most: number,
): Promise<Shown> {
  const path = `${organizationPath(organization_id)}/usage/${list}`
  const whole = await api.list(path, list, {}, most)
  return { whole, items: whole[list], columns, after: rest(whole[list], whole.total) }
}
