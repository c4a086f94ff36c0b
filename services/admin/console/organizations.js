/** All organizations. */
import { useSettled } from './asking.js'
import { activeUsers, bytes, moment, number, stateOf } from './format.js'
import { html } from './html.js'
import { Field, List, Mark, Page, Session, useSorting } from './parts.js'
import { useContext, useState } from './vendor/hooks.js'

const COLUMNS = [
  {
    head: 'Organization',
    sort: 'organization_id',
    of: ({ organization_id }) =>
      html`<a href="#/organizations/${encodeURIComponent(organization_id)}">${organization_id}</a>`,
  },
  { head: 'State', of: organization => html`<${State} organization=${organization} />` },
  {
    head: 'Active users',
    kind: 'number',
    sort: 'active_users',
    of: activeUsers,
  },
  { head: 'Realms', kind: 'number', of: ({ realms }) => number(realms) },
  { head: 'Data', kind: 'number', sort: 'data_size', of: ({ data_size }) => bytes(data_size) },
  { head: 'Metadata', kind: 'number', sort: 'metadata_size', of: ({ metadata_size }) => bytes(metadata_size) },
  { head: 'Created', sort: 'created_on', of: ({ created_on }) => moment(created_on) },
]

export function State({ organization }) {
  const state = stateOf(organization)
  return html`<${Mark} kind=${{ 'in use': 'good', expired: 'bad' }[state]}>${state}<//>`
}

export function Organizations() {
  const { mayWrite } = useContext(Session)
  const [search, setSearch] = useState('')
  const [state, setState] = useState('')
  const sorting = useSorting('organization_id')
  return html`
    <${Page} title="Organizations"
      actions=${mayWrite && html`<a class="button primary" href="#/new-organization">New organization</a>`}>
      <div class="filters" role="search">
        <${Field} label="Search">
          ${id => html`
            <input id=${id} type="search" maxlength="32" placeholder="Part of the name"
              value=${search} onInput=${event => setSearch(event.target.value)} />`}
        <//>
        <${Field} label="State">
          ${id => html`
            <select id=${id} value=${state} onChange=${event => setState(event.target.value)}>
              <option value="">all</option>
              <option value="bootstrapped">in use</option>
              <option value="waiting">waiting for the first user</option>
              <option value="expired">expired</option>
            </select>`}
        <//>
      </div>
      <${List} label="Organizations" path="organizations" name="organizations" columns=${COLUMNS} sorting=${sorting}
        query=${{ search: useSettled(search), state }} keyOf=${({ organization_id }) => organization_id}
        empty="No organization is like that." />
    <//>`
}
