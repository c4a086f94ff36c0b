/** What pages are made of. */
import { useList, useSettled } from './asking.js'
import { number, plural } from './format.js'
import { html } from './html.js'
import { useContext, useEffect, useId, useRef, useState } from './vendor/hooks.js'
import { createContext } from './vendor/preact.js'

/** `{ mayWrite, tell }`: what the token may do, and a way to say what has happened. */
export const Session = createContext({ mayWrite: false, tell: () => {} })

/** Whoever comes to a page starts at its heading, with a screen reader too. */
export function Page({ title, actions, children }) {
  const heading = useRef()
  useEffect(() => {
    document.title = `${title} · Parsec administration`
    heading.current.focus()
  }, [title])
  return html`
    <div class="heading">
      <h1 tabindex="-1" ref=${heading}>${title}</h1>
      <div class="actions">${actions}</div>
    </div>
    ${children}`
}

export function Section({ title, actions, children }) {
  const id = useId()
  return html`
    <section class="card" aria-labelledby=${id}>
      <div class="heading"><h2 id=${id}>${title}</h2><div class="actions">${actions}</div></div>
      ${children}
    </section>`
}

export const Problem = ({ error, retry }) => html`
  <div class="notice bad" role="alert">
    <p>${error.message}</p>
    ${retry && html`<button type="button" onClick=${retry}>Try again</button>`}
  </div>`

export const Waiting = () => html`<p class="quiet">Loading …</p>`

/** Says which processes an answer lacks. */
export const Incomplete = ({ unanswered = [] }) =>
  unanswered.length > 0 &&
  html`<p class="notice" role="status">
    Incomplete: ${unanswered.map(({ service, host }) => `${service} on ${host}`).join(', ')} did not answer.
  </p>`

/** A button that works for a while. What goes wrong is told. */
export function Action({ run, done, kind = '', children, ...more }) {
  const { tell } = useContext(Session)
  const [isBusy, setBusy] = useState(false)
  const onClick = async () => {
    setBusy(true)
    try {
      const outcome = await run()
      if (done) tell(typeof done === 'function' ? done(outcome) : done)
    } catch (error) {
      tell(error.message, 'bad')
    } finally {
      setBusy(false)
    }
  }
  return html`
    <button type="button" class=${kind} disabled=${isBusy} aria-busy=${isBusy} onClick=${onClick} ...${more}>
      ${children}
    </button>`
}

/** A labelled control; `children` gets its id. */
export function Field({ label, hint, children }) {
  const id = useId()
  return html`
    <div class="field">
      <label for=${id}>${label}</label>
      ${children(id, hint ? `${id}-hint` : undefined)}
      ${hint && html`<p class="quiet" id="${id}-hint">${hint}</p>`}
    </div>`
}

/**
 * What a list is searched for: `{ filters, query }`, the controls, and what they ask the API. `longest`: characters of a
 * text; `states`: what each is called.
 */
export function useFilters({ longest, placeholder, states }) {
  const [search, setSearch] = useState('')
  const [state, setState] = useState('')
  const filters = html`
    <div class="filters" role="search">
      <${Field} label="Search">
        ${id => html`
          <input id=${id} type="search" maxlength=${longest} placeholder=${placeholder}
            value=${search} onInput=${event => setSearch(event.target.value)} />`}
      <//>
      <${Field} label="State">
        ${id => html`
          <select id=${id} value=${state} onChange=${event => setState(event.target.value)}>
            <option value="">all</option>
            ${Object.entries(states).map(([value, name]) => html`<option value=${value}>${name}</option>`)}
          </select>`}
      <//>
    </div>`
  return { filters, query: { search: useSettled(search), state } }
}

export const Facts = ({ facts }) => html`
  <dl class="facts">
    ${facts.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`

/** A word with a colour: `good`, `bad`, or neither. */
export const Mark = ({ kind = '', children }) => html`<span class="mark ${kind}">${children}</span>`

/**
 * A table of one list of the API, page by page.
 *
 * `summary`: what the first page says about all of them.
 * columns: `{ head, of: item => content, kind?: 'number', sort?: name that the API sorts by }`; the first names the row.
 */
export function List({ label, path, name, query = {}, columns, keyOf, empty, sorting, summary }) {
  const { items, total, answer, error, more, reload } = useList(path, name, { ...query, ...sorting?.state })
  if (error && !items) return html`<${Problem} error=${error} retry=${reload} />`
  if (!items) return html`<${Waiting} />`
  return html`
    ${error && html`<${Problem} error=${error} retry=${reload} />`}
    <${Incomplete} unanswered=${answer.unanswered} />
    ${summary && html`<p>${summary(answer)}</p>`}
    <${Table} label=${label} columns=${columns} items=${items} keyOf=${keyOf} sorting=${sorting} reload=${reload} />
    <p class="quiet" role="status">
      ${items.length === 0 ? empty : `${number(items.length)} of ${plural(Math.max(total, items.length), 'entry').replace('entrys', 'entries')}`}
    </p>
    <div class="actions">
      ${more && html`<${Action} run=${more}>Show more<//>`}
      <button type="button" onClick=${reload} aria-label="Reload ${label.toLowerCase()}">Reload</button>
    </div>`
}

/** Wider than a phone it scrolls by itself, with the keyboard too. */
export const Table = ({ label, columns, items, keyOf, sorting, reload }) =>
  items.length > 0 &&
  html`
    <div class="table" role="region" aria-label="${label} (table)" tabindex="0">
      <table>
        <thead><tr>${columns.map(column => html`<${Head} column=${column} sorting=${sorting} />`)}</tr></thead>
        <tbody>
          ${items.map(
            item => html`
              <tr key=${keyOf(item)}>
                ${columns.map(({ of, kind }, i) =>
                  i === 0
                    ? html`<th scope="row">${of(item, reload)}</th>`
                    : html`<td class=${kind ?? ''}>${of(item, reload)}</td>`,
                )}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>`

function Head({ column: { head, kind = '', sort }, sorting }) {
  if (!sort) return html`<th scope="col" class=${kind}>${head}</th>`
  const { state, change } = sorting
  const isSorted = state.sort === sort
  const order = isSorted && state.order === 'asc' ? 'desc' : 'asc'
  return html`
    <th scope="col" class=${kind} aria-sort=${isSorted ? `${state.order}ending` : 'none'}>
      <button type="button" class="plain" onClick=${() => change({ sort, order })}>
        ${head}<span aria-hidden="true">${isSorted ? (state.order === 'asc' ? ' ↑' : ' ↓') : ''}</span>
      </button>
    </th>`
}

/** What `sorting` of a list is. */
export function useSorting(sort, order = 'asc') {
  const [state, change] = useState({ sort, order })
  return { state, change }
}

/** A question that must be answered before anything else. */
export function Dialog({ title, onClose, children }) {
  const dialog = useRef()
  const id = useId()
  useEffect(() => dialog.current.showModal(), [])
  return html`
    <dialog ref=${dialog} aria-labelledby=${id} onClose=${onClose}>
      <h2 id=${id}>${title}</h2>
      ${children(() => dialog.current.close())}
    </dialog>`
}

/** A button that asks first. */
export function Asking({ label, title, text, run, done, kind = 'danger' }) {
  const [isOpen, setOpen] = useState(false)
  return html`
    <button type="button" class=${kind} onClick=${() => setOpen(true)}>${label}</button>
    ${
      isOpen &&
      html`<${Dialog} title=${title} onClose=${() => setOpen(false)}>
        ${close => html`
          <p>${text}</p>
          <div class="actions">
            <button type="button" onClick=${close}>Cancel</button>
            <${Action} kind=${kind} done=${done} run=${async () => {
              await run()
              close()
            }}>${label}<//>
          </div>`}
      <//>`
    }`
}
