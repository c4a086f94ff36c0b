/** Who and what uses the space of an organization. */
import { bytes, moment, number } from './format.js'
import { html } from './html.js'
import { List } from './parts.js'
import { Person } from './users.js'

const REALMS = [
  { head: 'Realm', of: ({ realm_id }) => html`<code>${realm_id}</code>` },
  { head: 'Owners', of: ({ owners }) => owners.map(owner => html`<div><small>${owner}</small></div>`) },
  { head: 'Members', kind: 'number', of: ({ members }) => number(members) },
  { head: 'Data', kind: 'number', of: ({ data_size }) => bytes(data_size) },
  { head: 'Metadata', kind: 'number', of: ({ metadata_size }) => bytes(metadata_size) },
  { head: 'State', of: stateOf },
  { head: 'Created', of: ({ created_on }) => moment(created_on) },
]
function stateOf({ archiving, deletion_date, maintenance }) {
  const state = {
    AVAILABLE: 'in use',
    ARCHIVED: 'archived',
    DELETION_PLANNED: `to be deleted on ${moment(deletion_date)}`,
  }[archiving]
  const work = { REENCRYPTION: ', being re-encrypted', GARBAGE_COLLECTION: ', being cleaned' }[maintenance] ?? ''
  return `${state}${work}`
}
export const RealmUsage = ({ path }) => html`
  <${List} label="Realms, largest first" path="${path}/usage/realms" name="realms" columns=${REALMS}
    query=${{ limit: 20 }} keyOf=${({ realm_id }) => realm_id} empty="There is no realm yet." />`

const USERS = [
  { head: 'User', of: user => html`<${Person} user=${user} />` },
  { head: 'Realms', kind: 'number', of: ({ realms }) => number(realms) },
  { head: 'Owned', kind: 'number', of: ({ owned_realms }) => number(owned_realms) },
  { head: 'Data of owned realms', kind: 'number', of: ({ data_size }) => bytes(data_size) },
  { head: 'Metadata', kind: 'number', of: ({ metadata_size }) => bytes(metadata_size) },
]
export const UserUsage = ({ path }) => html`
  <${List} label="Users, largest first" path="${path}/usage/users" name="users" columns=${USERS}
    query=${{ limit: 20 }} keyOf=${({ user_id }) => user_id} empty="There is no user yet." />`
