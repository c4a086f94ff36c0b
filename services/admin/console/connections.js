/** Who is connected. */
import { named, remove } from './api.js'
import { useSettled } from './asking.js'
import { ago, number, plural } from './format.js'
import { html } from './html.js'
import { Asking, Field, List, Page, Session } from './parts.js'
import { useContext, useState } from './vendor/hooks.js'

const KINDS = {
  authenticated: 'signed in',
  invited: 'invited',
  anonymous: 'anonymous',
  administration: 'administration',
  handshake: 'not yet known',
}

export function Connections() {
  const { mayWrite } = useContext(Session)
  const [organization, setOrganization] = useState('')
  const columns = [
    { head: 'Who', of: connection => html`<${Who} connection=${connection} />` },
    { head: 'Client', of: ({ client_release, api_version }) => client_release ?? `API ${api_version}` },
    { head: 'Address', of: ({ address }) => html`<code>${address}</code>` },
    { head: 'Since', of: ({ since }) => ago(since) },
    { head: 'Gateway', of: ({ gateway }) => gateway.host },
  ]
  if (mayWrite)
    columns.push({
      head: 'Actions',
      of: ({ conn_id, device_id, address }, reload) => html`
        <${Asking} label="Cut" title="Cut the connection of ${device_id ?? address}?" done="The connection is cut."
          text="The client comes back by itself within seconds. To keep somebody out, freeze the user."
          run=${async () => {
            await remove(`connections/${named(conn_id)}`)
            reload()
          }} />`,
    })
  return html`
    <${Page} title="Connections">
      <div class="filters" role="search">
        <${Field} label="Organization">
          ${id => html`
            <input id=${id} type="search" maxlength="32" placeholder="The whole name" autocomplete="off"
              value=${organization} onInput=${event => setOrganization(event.target.value)} />`}
        <//>
      </div>
      <${List} label="Connections" path="connections" name="connections" columns=${columns}
        query=${{ organization_id: useSettled(organization.trim()) }} keyOf=${({ conn_id }) => conn_id}
        summary=${kindsOf} empty="Nobody is connected." />
    <//>`
}

const kindsOf = ({ kinds }) =>
  Object.entries(kinds)
    .filter(([, n]) => n > 0)
    .map(([kind, n]) => `${number(n)} ${KINDS[kind]}`)
    .join(', ') || plural(0, 'connection')

const Who = ({ connection: { kind, organization_id, user_id, device_id } }) => html`
  ${user_id ?? KINDS[kind]}
  ${
    organization_id &&
    html`<br /><a href="#/organizations/${encodeURIComponent(organization_id)}">${organization_id}</a>`
  }
  ${device_id && html`<br /><small>${device_id}</small>`}`
