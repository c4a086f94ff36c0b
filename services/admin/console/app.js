/** The console: who is signed in, which page is shown, and the frame around it. */
import { get, signIn, signOut } from './api.js'
import { Connections } from './connections.js'
import { html } from './html.js'
import { NewOrganization } from './new-organization.js'
import { Organization } from './organization.js'
import { Organizations } from './organizations.js'
import { Overview } from './overview.js'
import { Page, Session } from './parts.js'
import { Services } from './services.js'
import { SignIn } from './sign-in.js'
import { useCallback, useEffect, useState } from './vendor/hooks.js'
import { render } from './vendor/preact.js'
import { Warnings } from './warnings.js'

const PAGES = [
  { path: '#/', label: 'Overview', page: () => html`<${Overview} />` },
  { path: '#/organizations', label: 'Organizations', page: () => html`<${Organizations} />` },
  { path: '#/connections', label: 'Connections', page: () => html`<${Connections} />` },
  { path: '#/services', label: 'Services', page: () => html`<${Services} />` },
  { path: '#/warnings', label: 'Warnings', page: () => html`<${Warnings} />` },
]
const OTHERS = [
  { pattern: /^#\/new-organization$/, page: () => html`<${NewOrganization} />` },
  { pattern: /^#\/organizations\/([^/]+)$/, page: id => html`<${Organization} key=${id} id=${id} />` },
]

function App() {
  const [who, setWho] = useState(null)
  const [problem, setProblem] = useState('')
  const leave = useCallback((reason = '') => {
    signOut()
    setProblem(reason)
    setWho(null)
  }, [])
  const enter = async token => {
    setProblem('')
    try {
      signIn(token, error => leave(error.message))
      setWho(await get('token'))
    } catch (error) {
      leave(error.message)
    }
  }
  return who ? html`<${Frame} who=${who} leave=${leave} />` : html`<${SignIn} enter=${enter} problem=${problem} />`
}

function Frame({ who, leave }) {
  const [notices, setNotices] = useState([])
  const tell = useCallback((text, kind = 'good') => {
    const notice = { text, kind }
    setNotices(others => [...others.slice(-2), notice])
    if (kind === 'good') setTimeout(() => setNotices(all => all.filter(one => one !== notice)), 8000)
  }, [])
  const dismiss = notice => setNotices(all => all.filter(one => one !== notice))
  const here = useHash()
  return html`
    <${Session.Provider} value=${{ mayWrite: who.scopes.includes('write'), tell }}>
      <a class="skip" href="#content" onClick=${skip}>Skip to the content</a>
      <header>
        <img src="console/logo.svg" alt="" width="32" height="32" />
        <span class="brand">Parsec administration</span>
        <span class="who">${who.name}${who.scopes.includes('write') ? '' : ' (may only read)'} · ${who.server_version}</span>
        <button type="button" onClick=${() => leave()}>Sign out</button>
      </header>
      <nav aria-label="Pages">
        <ul>
          ${PAGES.map(
            ({ path, label }) =>
              html`<li><a href=${path} aria-current=${path === here ? 'page' : path !== '#/' && here.startsWith(`${path}/`) ? 'true' : undefined}>${label}</a></li>`,
          )}
        </ul>
      </nav>
      <main id="content" tabindex="-1">${pageAt(here)}</main>
      <div class="notices" role="status" aria-live="polite">
        ${notices.map(
          notice => html`
            <p class="notice ${notice.kind}">
              ${notice.text}
              <button type="button" class="plain" aria-label="Dismiss" onClick=${() => dismiss(notice)}>✕</button>
            </p>`,
        )}
      </div>
    <//>`
}

/** The address says which page is shown, so that a link to it must not change that. */
function skip(event) {
  event.preventDefault()
  document.getElementById('content').focus()
}

function pageAt(hash) {
  const page = PAGES.find(({ path }) => path === hash)
  if (page) return page.page()
  for (const { pattern, page } of OTHERS) {
    const match = pattern.exec(hash)
    if (match) return page(...match.slice(1).map(decode))
  }
  return html`<${Page} title="Not found"><p>There is no such page. <a href=${PAGES[0].path}>Start again.</a></p><//>`
}
function decode(text) {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** The first page, unless the address says another. */
const hash = () => location.hash || PAGES[0].path
function useHash() {
  const [here, setHere] = useState(hash())
  useEffect(() => {
    const onChange = () => setHere(hash())
    addEventListener('hashchange', onChange)
    return () => removeEventListener('hashchange', onChange)
  }, [])
  return here
}

render(html`<${App} />`, document.getElementById('app'))
