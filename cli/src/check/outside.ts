/** The public address as clients reach it: name, TLS, the server behind, WebSockets; and what should not be reached there. */
import { connect as connectTls } from 'node:tls'
import type { BackendAddr } from '@parsec/shared/config'
import { netloc, withoutBrackets } from '@parsec/shared/http/netloc'
import { checkCertificate } from './certificate.ts'
import { type Finding, Findings } from './finding.ts'

export async function checkOutside(addr: BackendAddr): Promise<Finding[]> {
  const findings = new Findings(`parsec://${netloc(addr)}`)
  const base = `${addr.useTls ? 'https' : 'http'}://${netloc(addr)}`
  if (addr.useTls) {
    const remedy = 'check --backend-addr, its name in DNS, and the TLS of the server or the proxy in front of it'
    if (!(await findings.look(remedy, signal => checkTls(addr, findings, signal)))) return findings.list
  }
  const isThere = await findings.look(
    'check --backend-addr, its name in DNS, the firewall and the proxy',
    async signal => {
      const response = await fetch(base, { signal, redirect: 'manual' })
      await response.body?.cancel()
      const server = response.headers.get('server') ?? ''
      if (response.status !== 200)
        findings.fail(`${base} answers ${response.status}`, 'the proxy must pass all paths on to the server')
      else if (!/parsec/.test(server)) findings.ok(`${base} answers, through ${server || 'a proxy'}`)
      else findings.ok(`${base} answers`)
    },
  )
  if (!isThere) return findings.list
  await findings.look('the proxy must pass WebSockets on (Upgrade and Connection headers, HTTP/1.1)', signal =>
    checkWebSocket(`${base.replace(/^http/, 'ws')}/ws`, findings, signal),
  )
  await findings.look('check the proxy', async signal => {
    const response = await fetch(`${base}/administration/v2/token`, { signal })
    await response.body?.cancel()
    if (response.status === 403)
      findings.warn(
        'the administration API is reached from here',
        'let the proxy close /administration to the world; see docs/operations.md#behind-nginx',
      )
    else findings.ok(`/administration is closed (${response.status})`)
  })
  return findings.list
}

function checkTls({ hostname, port }: BackendAddr, findings: Findings, signal: AbortSignal): Promise<void> {
  const host = withoutBrackets(hostname)
  return new Promise((resolve, reject) => {
    const socket = connectTls({
      host,
      port,
      ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }),
      rejectUnauthorized: false,
    })
    signal.addEventListener('abort', () => socket.destroy(), { once: true })
    socket.once('error', reject)
    socket.once('secureConnect', () => {
      checkCertificate(socket.getPeerX509Certificate()!.toString(), hostname, findings)
      if (socket.authorized) findings.ok(`its chain is trusted, ${socket.getProtocol()}`)
      else
        findings.fail(
          `its chain is not trusted: ${socket.authorizationError}`,
          'serve the whole chain, leaf first; clients trust public authorities, and those of their system',
        )
      socket.destroy()
      resolve()
    })
  })
}

/** The first message of the server is a challenge. */
function checkWebSocket(url: string, findings: Findings, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url)
    signal.addEventListener('abort', () => socket.close(), { once: true })
    socket.addEventListener('message', () => {
      findings.ok('a WebSocket opens and is greeted')
      socket.close()
      resolve()
    })
    socket.addEventListener('error', () => reject(new Error('no WebSocket opens')))
    socket.addEventListener('close', () => reject(new Error('the WebSocket is closed at once')))
  })
}
