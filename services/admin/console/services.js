/** The processes of the server, the nodes of its block store, and whether mails leave. */
import { post } from './api.js'
import { useAnswer, useSubmit } from './asking.js'
import { ago, moment, number } from './format.js'
import { html } from './html.js'
import { Field, Incomplete, Mark, Page, Problem, Section, Session, Table, Waiting } from './parts.js'
import { useContext, useState } from './vendor/hooks.js'

const EVERY_MS = 15_000

export function Services() {
  const { mayWrite } = useContext(Session)
  return html`
    <${Page} title="Services">
      <${Section} title="Processes"><${Processes} /><//>
      <${Section} title="Nodes of the block store"><${Nodes} /><//>
      ${mayWrite && html`<${Section} title="Test mail"><${TestMail} /><//>`}
    <//>`
}

const PROCESSES = [
  { head: 'Service', of: ({ service }) => service },
  {
    head: 'State',
    of: ({ is_ready }) => (is_ready ? html`<${Mark} kind="good">ready<//>` : html`<${Mark} kind="bad">not ready<//>`),
  },
  { head: 'Host', of: ({ host, replica }) => html`${host}<br /><small>${replica}</small>` },
  { head: 'Version', of: ({ version }) => version },
  { head: 'Started', of: ({ started_on }) => html`${ago(started_on)}<br /><small>${moment(started_on)}</small>` },
  { head: 'What it says', of: ({ detail }) => html`<${Detail} detail=${detail} />` },
]
function Processes() {
  const { answer, error, reload } = useAnswer('services', {}, EVERY_MS)
  return html`
    ${error && html`<${Problem} error=${error} retry=${reload} />`}
    ${
      answer
        ? html`
          <${Incomplete} unanswered=${answer.unanswered} />
          <${Table} label="Processes" columns=${PROCESSES} items=${answer.services}
            keyOf=${({ service, replica }) => `${service} ${replica}`} />`
        : !error && html`<${Waiting} />`
    }`
}

const NODES = [
  { head: 'Node', of: ({ index, name }) => `${index}: ${name}` },
  {
    head: 'State',
    of: ({ state }) =>
      html`<${Mark} kind=${{ ok: 'good', away: 'bad' }[state]}>${{ ok: 'works', failing: 'fails', away: 'away' }[state]}<//>`,
  },
  { head: 'Operations', kind: 'number', of: ({ views }) => number(sum(views, 'operations')) },
  { head: 'Failures', kind: 'number', of: ({ views }) => number(sum(views, 'failures')) },
  { head: 'Missing', kind: 'number', of: ({ views }) => number(sum(views, 'missing')) },
  { head: 'Corrupt', kind: 'number', of: ({ views }) => number(sum(views, 'corrupt')) },
  {
    head: 'Seen as failing by',
    of: ({ views }) =>
      views
        .filter(({ state }) => state !== 'ok')
        .map(({ host, failing_since }) => html`<div>${host}, since ${moment(failing_since)}</div>`),
  },
]
const sum = (views, name) => views.reduce((all, view) => all + view[name], 0)

function Nodes() {
  const { answer, error, reload } = useAnswer('nodes', {}, EVERY_MS)
  return html`
    ${error && html`<${Problem} error=${error} retry=${reload} />`}
    ${
      answer
        ? html`
          <${Incomplete} unanswered=${answer.unanswered} />
          ${!answer.is_readable && html`<p class="notice bad">No block can be read.</p>`}
          <${Table} label="Nodes of the block store" columns=${NODES} items=${answer.nodes} keyOf=${({ index }) => index} />
          <p class="quiet">Counted by each block-store process since its start.</p>`
        : !error && html`<${Waiting} />`
    }`
}

function TestMail() {
  const { tell } = useContext(Session)
  const [to, setTo] = useState('')
  const { onSubmit, isBusy, problem } = useSubmit(async () => {
    const { ms } = await post('mail-test', { to: to.trim() })
    tell(`The mail server took the mail to ${to} after ${number(ms)} ms.`)
  })
  return html`
    <form onSubmit=${onSubmit}>
      <${Field} label="Send a mail to">
        ${id => html`
          <input id=${id} type="email" required maxlength="254" autocomplete="off" placeholder="you@example.com"
            value=${to} onInput=${event => setTo(event.target.value)} />`}
      <//>
      <div role="alert">${problem && html`<p class="notice bad">${problem}</p>`}</div>
      <button type="submit" disabled=${isBusy}>Send</button>
    </form>`
}

export const Detail = ({ detail }) => html`
  <ul class="detail">
    ${Object.entries(detail).map(([name, value]) => html`<li><small>${name}:</small> ${String(value)}</li>`)}
  </ul>`
