/** Deletes an organization in two steps: the server tells what would go, and a code that stands for exactly that. */
import { ApiError, remove } from './api.js'
import { bytes, plural } from './format.js'
import { html } from './html.js'
import { Action, Dialog, Field, Session } from './parts.js'
import { useContext, useState } from './vendor/hooks.js'

export function Deletion({ id, path }) {
  const { tell } = useContext(Session)
  const [doomed, setDoomed] = useState(null)
  const look = async () => {
    try {
      await remove(path)
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== 'confirmation_required') throw error
      setDoomed(error.more)
    }
  }
  const gone = () => {
    tell(`${id} is deleted.`)
    location.hash = '#/organizations'
  }
  return html`
    <p>All that the organization has is removed for good, its blocks too. Nobody can bring it back.</p>
    <${Action} kind="danger" run=${look}>Delete …<//>
    ${doomed && html`<${Confirmation} id=${id} path=${path} doomed=${doomed} gone=${gone} onClose=${() => setDoomed(null)} />`}`
}

function Confirmation({ id, path, doomed: { users, realms, data_size, code }, gone, onClose }) {
  const [typed, setTyped] = useState('')
  const [rounds, setRounds] = useState(0)
  // A large one takes several calls: each goes on where the one before stopped.
  const erase = async () => {
    for (let round = 1; ; round++) {
      setRounds(round)
      const { is_deleted } = await remove(path, { confirm: code })
      if (is_deleted) return gone()
    }
  }
  return html`
    <${Dialog} title="Delete ${id}?" onClose=${onClose}>
      ${close => html`
        <p>${plural(users, 'user')}, ${plural(realms, 'realm')} and ${bytes(data_size)} of data go for good.</p>
        <${Field} label="Type the name of the organization">
          ${field => html`
            <input id=${field} autocomplete="off" spellcheck=${false} value=${typed}
              onInput=${event => setTyped(event.target.value)} />`}
        <//>
        <p role="status">${rounds > 1 && 'It is large: the deletion goes on …'}</p>
        <div class="actions">
          <button type="button" onClick=${close}>Cancel</button>
          ${
            typed === id
              ? html`<${Action} kind="danger" run=${erase}>Delete for good<//>`
              : html`<button type="button" class="danger" disabled>Delete for good</button>`
          }
        </div>`}
    <//>`
}
