/** The settings of an organization as a form. */
import { useSubmit } from './asking.js'
import { html } from './html.js'
import { Field } from './parts.js'
import { useState } from './vendor/hooks.js'

/** Of a new one. */
export const SETTINGS = {
  active_users_limit: null,
  user_profile_outsider_allowed: true,
  minimum_archiving_period: 2_592_000,
}

const DAY_S = 86_400
const shown = ({ active_users_limit, user_profile_outsider_allowed, minimum_archiving_period }) => ({
  organization_id: '',
  limit: active_users_limit === null ? '' : String(active_users_limit),
  outsiders: user_profile_outsider_allowed,
  days: String(minimum_archiving_period / DAY_S),
})

/** `save` gets the fields of the API, and may refuse by an `ApiError`. */
export function SettingsForm({ settings, isNew = false, label, save }) {
  const [form, setForm] = useState(shown(settings))
  const set = (name, value) => setForm(last => ({ ...last, [name]: value }))
  const { onSubmit, isBusy, problem } = useSubmit(() =>
    save({
      ...(isNew && { organization_id: form.organization_id.trim() }),
      active_users_limit: form.limit === '' ? null : Number(form.limit),
      user_profile_outsider_allowed: form.outsiders,
      minimum_archiving_period: Math.round(Number(form.days) * DAY_S),
    }),
  )
  return html`
    <form onSubmit=${onSubmit}>
      ${
        isNew &&
        html`<${Field} label="Name" hint="Letters, digits, _ and -, at most 32. It cannot be changed later.">
          ${(id, hint) => html`
            <input id=${id} required maxlength="32" autocomplete="off" spellcheck=${false} aria-describedby=${hint}
              value=${form.organization_id} onInput=${event => set('organization_id', event.target.value)} />`}
        <//>`
      }
      <${Field} label="Most active users" hint="Empty: no limit.">
        ${(id, hint) => html`
          <input id=${id} type="number" min="0" max="2147483647" step="1" aria-describedby=${hint}
            value=${form.limit} onInput=${event => set('limit', event.target.value)} />`}
      <//>
      <${Field} label="Days between the archiving of a workspace and its deletion, at least">
        ${id => html`
          <input id=${id} type="number" min="0" max="24855" step="any" required
            value=${form.days} onInput=${event => set('days', event.target.value)} />`}
      <//>
      <label class="check">
        <input type="checkbox" checked=${form.outsiders} onChange=${event => set('outsiders', event.target.checked)} />
        ${' '}Outsiders are allowed
      </label>
      <div role="alert">${problem && html`<p class="notice bad">${problem}</p>`}</div>
      <button type="submit" class="primary" disabled=${isBusy}>${label}</button>
    </form>`
}
