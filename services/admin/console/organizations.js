/** All organizations. */
import { activeUsers, bytes, moment, number, stateOf } from './format.js'
import { html } from './html.js'
import { List, Mark, Page, Session, useFilters, useSorting } from './parts.js'
import { useContext } from './vendor/hooks.js'

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

/** As the API names them. */
const STATES = { bootstrapped: 'in use', waiting: 'waiting for the first user', expired: 'expired' }

export function State({ organization }) {
  const state = stateOf(organization)
  return html`<${Mark} kind=${{ 'in use': 'good', expired: 'bad' }[state]}>${state}<//>`
}

export function Organizations() {
  const { mayWrite } = useContext(Session)
  const { filters, query } = useFilters({ longest: 32, placeholder: 'Part of the name', states: STATES })
  const sorting = useSorting('organization_id')
  return html`
    <${Page} title="Organizations"
      actions=${mayWrite && html`<a class="button primary" href="#/new-organization">New organization</a>`}>
      ${filters}
      <${List} label="Organizations" path="organizations" name="organizations" columns=${COLUMNS} sorting=${sorting}
        query=${query} keyOf=${({ organization_id }) => organization_id}
        empty="No organization is like that." />
    <//>`
}
