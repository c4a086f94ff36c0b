/** The link that makes whoever opens it the first user of an organization: as text, and as a picture that a phone reads. */
import { html } from './html.js'
import { Session } from './parts.js'
import { useContext, useRef } from './vendor/hooks.js'
import encodeQR from './vendor/qr.js'

export function BootstrapLink({ link }) {
  const { tell } = useContext(Session)
  const input = useRef()
  const copy = async () => tell((await copied(input.current)) ? 'The link is copied.' : 'Copy the selected link.')
  return html`
    <p>
      Whoever opens this link with the Parsec client becomes the first user and administrator. Send it over a way that you
      trust.
    </p>
    <div class="link">
      <input ref=${input} readonly aria-label="Bootstrap link" value=${link} onFocus=${event => event.target.select()} />
      <button type="button" onClick=${copy}>Copy</button>
    </div>
    <${QrCode} text=${link} label="Bootstrap link as QR code" />`
}

/** Browsers have a clipboard only for pages that came over TLS; elsewhere the old way does. */
async function copied(input) {
  try {
    await navigator.clipboard.writeText(input.value)
    return true
  } catch {
    input.select()
    return document.execCommand('copy')
  }
}

function QrCode({ text, label }) {
  const rows = encodeQR(text, 'raw', { border: 4 })
  const dark = rows.flatMap((row, y) => row.map((isDark, x) => (isDark ? `M${x} ${y}h1v1h-1z` : '')))
  return html`
    <svg class="qr" role="img" aria-label=${label} viewBox="0 0 ${rows.length} ${rows.length}" shape-rendering="crispEdges">
      <rect width="100%" height="100%" fill="#fff" />
      <path d=${dark.join('')} fill="#000" />
    </svg>`
}
