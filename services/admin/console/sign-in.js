/** Asks for a token. */
import { html } from './html.js'
import { Field } from './parts.js'
import { useEffect, useRef, useState } from './vendor/hooks.js'

export function SignIn({ enter, problem }) {
  const [token, setToken] = useState('')
  const [isBusy, setBusy] = useState(false)
  const input = useRef()
  useEffect(() => {
    document.title = 'Sign in · Parsec administration'
    input.current.focus()
  }, [])
  const onSubmit = async event => {
    event.preventDefault()
    setBusy(true)
    await enter(token.trim())
    setBusy(false)
    input.current?.focus()
  }
  return html`
    <main class="sign-in">
      <img src="console/logo.svg" alt="" width="64" height="64" />
      <h1>Parsec administration</h1>
      <form onSubmit=${onSubmit}>
        <${Field} label="Administration token" hint=${HINT}>
          ${(id, hint) => html`
            <input id=${id} ref=${input} type="password" required autocomplete="off" spellcheck=${false}
              aria-describedby=${hint} value=${token} onInput=${event => setToken(event.target.value)} />`}
        <//>
        <div role="alert">${problem && html`<p class="notice bad">${problem}</p>`}</div>
        <button type="submit" class="primary" disabled=${isBusy}>Sign in</button>
      </form>
      <p class="quiet">
        The same can be done with <code>parsec admin</code> on a terminal, and with the
        ${' '}<a href="docs">administration API</a>.
      </p>
    </main>`
}

const HINT =
  'That of --administration-token, or one of the file of --administration-token-file. This tab forgets it when it is closed or reloaded.'
