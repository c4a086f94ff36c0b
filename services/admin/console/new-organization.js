/** Creates an organization, and shows the link for its first user. */
import { post } from './api.js'
import { BootstrapLink } from './bootstrap-link.js'
import { html } from './html.js'
import { Page, Section, Session } from './parts.js'
import { SETTINGS, SettingsForm } from './settings.js'
import { useContext, useState } from './vendor/hooks.js'

export function NewOrganization() {
  const { tell } = useContext(Session)
  const [created, setCreated] = useState(null)
  if (created) {
    const { organization_id } = created.organization
    return html`
      <${Page} title="${organization_id} is created">
        <${Section} title="For its first user"><${BootstrapLink} link=${created.bootstrap_link} /><//>
        <p><a href="#/organizations/${encodeURIComponent(organization_id)}">Show the organization</a></p>
      <//>`
  }
  const save = async settings => {
    const answer = await post('organizations', settings)
    tell(`${settings.organization_id} is created.`)
    setCreated(answer)
  }
  return html`
    <${Page} title="New organization">
      <div class="card">
        <${SettingsForm} settings=${SETTINGS} isNew label="Create" save=${save} />
      </div>
    <//>`
}
