/** The server at a glance: how much there is, what happens now, and how it grew. */
import { useAnswer } from './asking.js'
import { Chart } from './chart.js'
import { bytes, number } from './format.js'
import { html } from './html.js'
import { Facts, Field, Incomplete, Page, Problem, Waiting } from './parts.js'
import { useState } from './vendor/hooks.js'

const EVERY_MS = 30_000
const SPANS = [
  [1, 'a day'],
  [7, 'a week'],
  [30, '30 days'],
  [365, 'a year'],
  [3650, 'ten years'],
]

export const Overview = () => html`
  <${Page} title="Overview">
    <${Now} />
    <${LastHour} />
    <${Growth} />
  <//>`

/** Asks, and shows the answer once it is there; the answer stays when a later one does not come. */
function Asked({ path, query, children }) {
  const { answer, error, reload } = useAnswer(path, query, EVERY_MS)
  return html`
    ${error && html`<${Problem} error=${error} retry=${reload} />`}
    ${answer && html`<${Incomplete} unanswered=${answer.unanswered} />`}
    ${answer ? children(answer) : !error && html`<${Waiting} />`}`
}

const Now = () => html`
  <section class="card tiles" aria-label="Now">
    <${Asked} path="overview">${overview => html`
      <${Facts} facts=${[
        ['Organizations', number(overview.organizations.total)],
        ['Waiting for the first user', number(overview.organizations.total - overview.organizations.bootstrapped)],
        ['Closed', number(overview.organizations.expired)],
        ['Active users', number(overview.active_users)],
        ['Users connected', number(overview.users_connected)],
        ['Connections', number(overview.connections)],
        ['Realms', number(overview.realms)],
        ['Data', bytes(overview.data_size)],
        ['Metadata', bytes(overview.metadata_size)],
      ]} />`}
    <//>
  </section>`

const milliseconds = ms => `${number(ms)} ms`

const LastHour = () => html`
  <h2>The last hour, by minutes</h2>
  <${Asked} path="activity">${({ minutes }) => {
    const times = minutes.map(({ at }) => at)
    const line = (label, name) => ({ label, values: minutes.map(minute => minute[name]) })
    return html`
      <div class="charts">
        <${Chart} title="Requests" times=${times} series=${[line('a minute', 'requests')]} format=${number} />
        <${Chart} title="Errors" times=${times} series=${[line('a minute', 'errors')]} format=${number} />
        <${Chart} title="Time to answer" times=${times} format=${milliseconds}
          series=${[line('half within', 'p50_ms'), line('95 % within', 'p95_ms'), line('99 % within', 'p99_ms')]} />
        <${Chart} title="Connections" times=${times} series=${[line('open', 'connections')]} format=${number} />
      </div>`
  }}<//>`

function Growth() {
  const [days, setDays] = useState(30)
  return html`
    <div class="heading">
      <h2>Growth</h2>
      <${Field} label="Over the last">
        ${id => html`
          <select id=${id} value=${days} onChange=${event => setDays(Number(event.target.value))}>
            ${SPANS.map(([n, label]) => html`<option value=${n}>${label}</option>`)}
          </select>`}
      <//>
    </div>
    <${Asked} path="history" query=${{ days }}>${({ samples }) => {
      const times = samples.map(({ at }) => at)
      const line = (label, name) => ({ label, values: samples.map(sample => sample[name]) })
      return html`
        <div class="charts">
          <${Chart} title="Organizations" times=${times} series=${[line('all', 'organizations')]} format=${number} />
          <${Chart} title="Users" times=${times} format=${number}
            series=${[line('active', 'active_users'), line('with revoked ones', 'users')]} />
          <${Chart} title="Data" times=${times} series=${[line('in blocks', 'data_size')]} format=${bytes} />
          <${Chart} title="Metadata" times=${times} series=${[line('in the database', 'metadata_size')]} format=${bytes} />
        </div>`
    }}<//>`
}
