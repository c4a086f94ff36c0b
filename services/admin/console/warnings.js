/** The last warnings and errors of the logs of all processes. */
import { useAnswer } from './asking.js'
import { moment } from './format.js'
import { html } from './html.js'
import { Incomplete, Mark, Page, Problem, Table, Waiting } from './parts.js'
import { Detail } from './services.js'

const COLUMNS = [
  { head: 'Event', of: ({ event }) => event },
  { head: 'Level', of: ({ level }) => html`<${Mark} kind=${level === 'warning' ? '' : 'bad'}>${level}<//>` },
  { head: 'Time', of: ({ at }) => moment(at) },
  { head: 'Details', of: ({ keys }) => html`<${Detail} detail=${keys} />` },
  { head: 'Process', of: ({ service, host }) => `${service} on ${host}` },
]

export function Warnings() {
  const { answer, error, reload } = useAnswer('warnings', { limit: 200 }, 30_000)
  return html`
    <${Page} title="Warnings" actions=${html`<button type="button" onClick=${reload}>Reload</button>`}>
      <p class="quiet">Each process keeps its last 100. The logs have all of them.</p>
      ${error && html`<${Problem} error=${error} retry=${reload} />`}
      ${
        answer
          ? html`
            <${Incomplete} unanswered=${answer.unanswered} />
            <${Table} label="Warnings" columns=${COLUMNS} items=${answer.warnings}
              keyOf=${({ at, replica, event }) => `${at} ${replica} ${event}`} />
            ${answer.warnings.length === 0 && html`<p>There are none.</p>`}`
          : !error && html`<${Waiting} />`
      }
    <//>`
}
