/** The users of an organization, and the devices of one of them. */
import { named, patch } from './api.js'
import { ago, moment, number, plural } from './format.js'
import { html } from './html.js'
import { Action, Dialog, List, Mark, Session, useFilters, useSorting } from './parts.js'
import { useContext, useState } from './vendor/hooks.js'

const STATES = { active: 'active', frozen: 'frozen', revoked: 'revoked' }

export function Users({ path }) {
  const { mayWrite } = useContext(Session)
  const { filters, query } = useFilters({ longest: 254, placeholder: 'Name, address or id', states: STATES })
  const [shown, setShown] = useState(null)
  const sorting = useSorting('created_on')
  const columns = [
    { head: 'User', sort: 'user_id', of: user => html`<${Person} user=${user} />` },
    { head: 'Profile', of: ({ profile }) => profile.toLowerCase() },
    { head: 'State', of: user => html`<${UserState} user=${user} />` },
    { head: 'Last seen', sort: 'last_seen_on', of: ({ last_seen_on }) => ago(last_seen_on) },
    { head: 'Connections', kind: 'number', of: ({ connections }) => number(connections) },
    { head: 'Created', sort: 'created_on', of: ({ created_on }) => moment(created_on) },
    {
      head: 'Actions',
      of: (user, reload) => html`
        <div class="actions">
          <button type="button" onClick=${() => setShown(user)} aria-label="${plural(user.devices, 'device')} of ${nameOf(user)}">
            ${plural(user.devices, 'device')}
          </button>
          ${mayWrite && !user.revoked_on && html`<${Freezing} path=${path} user=${user} reload=${reload} />`}
        </div>`,
    },
  ]
  return html`
    ${filters}
    <${List} label="Users" path="${path}/users" name="users" columns=${columns} sorting=${sorting}
      query=${query} keyOf=${({ user_id }) => user_id} empty="No user is like that." />
    ${
      shown &&
      html`<${Dialog} title="Devices of ${nameOf(shown)}" onClose=${() => setShown(null)}>
        ${close => html`
          <${List} label="Devices" path="${path}/users/${named(shown.user_id)}/devices" name="devices" columns=${DEVICES}
            keyOf=${({ device_id }) => device_id} empty="No device." />
          <div class="actions"><button type="button" onClick=${close}>Close</button></div>`}
      <//>`
    }`
}

const DEVICES = [
  { head: 'Device', of: ({ label, device_id }) => html`${label ?? 'without name'}<br /><small>${device_id}</small>` },
  { head: 'Last seen', of: ({ last_seen_on }) => ago(last_seen_on) },
  { head: 'Connections', kind: 'number', of: ({ connections }) => number(connections) },
  { head: 'Created', of: ({ created_on }) => moment(created_on) },
]

/** Clients before some release gave no names. */
const nameOf = ({ name, email, user_id }) => name ?? email ?? user_id
export const Person = ({ user }) => html`
  ${nameOf(user)}${user.email && html`<br /><small>${user.email}</small>`}<br /><small>${user.user_id}</small>`

function UserState({ user: { revoked_on, is_frozen } }) {
  if (revoked_on) return html`<${Mark} kind="bad">revoked<//>`
  return is_frozen ? html`<${Mark}>frozen<//>` : html`<${Mark} kind="good">active<//>`
}

function Freezing({ path, user, reload }) {
  const { user_id, is_frozen } = user
  const run = async () => {
    await patch(`${path}/users/${named(user_id)}`, { is_frozen: !is_frozen })
    reload()
  }
  const done = is_frozen ? `${nameOf(user)} may connect again.` : `${nameOf(user)} is disconnected and kept out.`
  const label = is_frozen ? 'Unfreeze' : 'Freeze'
  return html`<${Action} run=${run} done=${done} aria-label="${label} ${nameOf(user)}">${label}<//>`
}
