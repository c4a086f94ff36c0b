/** The mail server: reached, TLS changed to, logged in; no mail is sent. */
import { trySmtp } from '@parsec/metadata/invite/mail'
import type { BackendAddr, MailConfig } from '@parsec/shared/config'
import { type Finding, Findings } from './finding.ts'

export async function checkMail(mail: MailConfig, addr: BackendAddr): Promise<Finding[]> {
  const findings = new Findings('mail')
  if (mail.kind === 'MOCKED') {
    findings.warn('mails are written into a folder', 'name the mail server with --email-host')
    return findings.list
  }
  const { host, port, security, login } = mail
  await findings.look(`check --email-host, --email-port and the login`, async signal => {
    await trySmtp(mail, addr, signal)
    const how = { implicit: 'TLS', starttls: 'STARTTLS', none: 'no TLS' }[security]
    findings.ok(`${host} port ${port} answers, ${how}, ${login ? 'logged in' : 'without login'}`)
    if (security === 'none' && login)
      findings.warn('the password is sent in clear', 'give --email-use-tls or --email-use-ssl')
  })
  return findings.list
}
