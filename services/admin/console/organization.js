/** One organization: what it is, what it may, who is in it and what it uses. */
import { get, named, patch } from './api.js'
import { useAnswer } from './asking.js'
import { BootstrapLink } from './bootstrap-link.js'
import { Deletion } from './deletion.js'
import { activeUsers, bytes, moment, number } from './format.js'
import { html } from './html.js'
import { State } from './organizations.js'
import { Action, Asking, Facts, Field, Page, Problem, Section, Session, Waiting } from './parts.js'
import { SettingsForm } from './settings.js'
import { RealmUsage, UserUsage } from './usage.js'
import { Users } from './users.js'
import { useContext, useState } from './vendor/hooks.js'

export function Organization({ id }) {
  const path = `organizations/${named(id)}`
  const { mayWrite, tell } = useContext(Session)
  const { answer: organization, error, reload } = useAnswer(path)
  if (!organization)
    return html`<${Page} title=${id}>${error ? html`<${Problem} error=${error} retry=${reload} />` : html`<${Waiting} />`}<//>`
  const change = async settings => {
    await patch(path, settings)
    reload()
  }
  return html`
    <${Page} title=${id} actions=${html`<button type="button" onClick=${reload}>Reload</button>`}>
      ${error && html`<${Problem} error=${error} retry=${reload} />`}
      <${Section} title="Summary"><${Summary} organization=${organization} /><//>
      ${!organization.is_bootstrapped && mayWrite && html`<${Invitation} path=${path} />`}
      <${Section} title="Users"><${Users} path=${path} /><//>
      <${Section} title="Data of realms"><${RealmUsage} path=${path} /><//>
      <${Section} title="Data of users"><${UserUsage} path=${path} /><//>
      ${
        mayWrite &&
        html`
          <${Section} title="Settings">
            <${SettingsForm} key=${JSON.stringify(organization)} settings=${organization} label="Save"
              save=${async settings => {
                await change(settings)
                tell('The settings are saved.')
              }} />
          <//>
          <${Section} title="Closing"><${Closing} organization=${organization} change=${change} /><//>
          <${Section} title="Deletion"><${Deletion} id=${id} path=${path} /><//>`
      }
    <//>`
}

const Summary = ({ organization }) => html`
  <${Facts} facts=${[
    ['State', html`<${State} organization=${organization} />`],
    ['Created', moment(organization.created_on)],
    ['In use since', moment(organization.bootstrapped_on)],
    ['Closes', moment(organization.expiration_date)],
    ['Closed since', moment(organization.expired_on)],
    ['Active users', activeUsers(organization)],
    ...organization.users_per_profile_detail.map(({ profile, active, revoked }) => [
      { ADMIN: 'Administrators', STANDARD: 'Standard users', OUTSIDER: 'Outsiders' }[profile],
      `${number(active)} active, ${number(revoked)} revoked`,
    ]),
    ['Realms', number(organization.realms)],
    ['Data', bytes(organization.data_size)],
    ['Metadata', bytes(organization.metadata_size)],
    ['Sequestered', organization.is_sequestered ? 'yes' : 'no'],
  ]} />`

function Invitation({ path }) {
  const [link, setLink] = useState(null)
  const show = async () => setLink((await get(`${path}/bootstrap`)).bootstrap_link)
  return html`
    <${Section} title="For its first user">
      ${
        link
          ? html`<${BootstrapLink} link=${link} />`
          : html`<p>Nobody has used the organization yet.</p><${Action} run=${show}>Show the link<//>`
      }
    <//>`
}

function Closing({ organization: { organization_id, is_expired, expiration_date }, change }) {
  const { tell } = useContext(Session)
  const [day, setDay] = useState(expiration_date?.slice(0, 10) ?? '')
  if (is_expired)
    return html`
      <p>The organization is closed: nobody can connect, and nothing is lost.</p>
      <${Action} run=${() => change({ is_expired: false, expiration_date: null })} done="It is open again.">Open again<//>`
  const plan = async event => {
    event.preventDefault()
    try {
      await change({ expiration_date: day === '' ? null : `${day}T00:00:00Z` })
      tell(day === '' ? 'It does not close by itself.' : `It closes on ${day}.`)
    } catch (error) {
      tell(error.message, 'bad')
    }
  }
  return html`
    <form class="filters" onSubmit=${plan}>
      <${Field} label="Closes by itself on" hint="At midnight UTC. Empty: never.">
        ${(id, hint) => html`
          <input id=${id} type="date" aria-describedby=${hint} value=${day} onInput=${event => setDay(event.target.value)} />`}
      <//>
      <button type="submit">Save the day</button>
    </form>
    <${Asking} label="Close now" title="Close ${organization_id}?" done="It is closed."
      text="Its users are disconnected and cannot connect again until you open it. Nothing is lost."
      run=${() => change({ is_expired: true })} />`
}
