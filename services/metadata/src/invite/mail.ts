/**
 * Sends invitation mails, over SMTP or into a folder (spec 04 §10.1, 06 §3.3). A mail that cannot be sent never fails the
 * command: the invitation exists, and its sender is told.
 */
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { getCACertificates } from 'node:tls'
import type { Budget } from '@parsec/shared/budget'
import { DateTime, Uuid } from '@parsec/shared/codec/values'
import type { BackendAddr, MailConfig } from '@parsec/shared/config'
import { SMTP_CONNECT_MS, SMTP_MS, SMTP_SILENCE_MS } from '@parsec/shared/deadlines'
import { OperatorError } from '@parsec/shared/errors'
import type { Log } from '@parsec/shared/log'
import type { INVITATION_EMAIL_SENT_STATUSES } from '@parsec/shared/protocol/types'
import { hostLiteral, isPlainAddress, type Sender, senderOf } from './mail-address.ts'
import { composeMail, composeTestMail, type InvitationMail, type Letterhead } from './mail-template.ts'

export type EmailSent = (typeof INVITATION_EMAIL_SENT_STATUSES)[number]
/** Takes a composed mail to its recipient; rejects when it cannot. */
type Carrier = (to: string, message: string, budget: Budget) => Promise<void>

export class Mailer {
  readonly #carry: Carrier
  readonly #letterhead: Letterhead
  readonly #log: Log
  private constructor(carry: Carrier, letterhead: Letterhead, log: Log) {
    this.#carry = carry
    this.#letterhead = letterhead
    this.#log = log
  }
  /** For `MOCKED` it makes the folder. Throws `OperatorError` when no mail can be sent by the sender. */
  static async open(config: MailConfig, addr: BackendAddr, log: Log): Promise<Mailer> {
    const sender = senderOf(config.sender)
    if (!sender)
      throw new OperatorError(`--email-sender: '${config.sender}' is no address like Name <name@example.com>`)
    const carry = config.kind === 'SMTP' ? await smtp(config, sender, hostLiteral(addr.hostname)) : await mailFolder()
    return new Mailer(carry, { addr, sender, language: config.language }, log)
  }

  /** Resolves to what becomes of the mail, within `SMTP_MS` and the budget; never rejects. */
  async send(mail: InvitationMail, budget: Budget): Promise<EmailSent> {
    try {
      await this.#carryTo(mail.to, composeMail(mail, this.#letterhead, DateTime.now()), budget)
      return 'SUCCESS'
    } catch (error) {
      const { code, command, responseCode, rejectedErrors } = error as SmtpFailure
      if (responseCode !== undefined) this.#log.warning('SMTP error', { code, command, response_code: responseCode })
      else this.#log.warning('Unexpected exception while sending an email', { reason: (error as Error).message })
      // Below 500 the server asks to try again later: a mailbox that is busy or greylisted is no bad one.
      const isRefused = rejectedErrors?.some(({ responseCode = 0 }) => responseCode >= 500) ?? false
      return isRefused ? 'BAD_RECIPIENT' : 'NOT_AVAILABLE'
    }
  }
  /** Resolves to what went wrong, undefined when the mail has left; never rejects. */
  async sendTest(to: string, budget: Budget): Promise<string | undefined> {
    try {
      await this.#carryTo(to, composeTestMail(to, this.#letterhead, DateTime.now()), budget)
      return undefined
    } catch (error) {
      return (error as Error).message
    }
  }
  async #carryTo(to: string, message: string, budget: Budget): Promise<void> {
    if (!isPlainAddress(to)) throw new Error('the address of the recipient is none that SMTP can carry')
    await this.#carry(to, message, budget)
  }
}

/** What nodemailer adds to its errors. */
type SmtpFailure = {
  code?: string
  command?: string
  responseCode?: number
  rejectedErrors?: readonly { responseCode?: number }[]
}

/** `name`: how this server greets. The library is loaded at once: later it may have been replaced by another release's. */
async function smtp(config: Smtp, sender: Sender, name: string): Promise<Carrier> {
  const talk = await dialogue(config, name)
  return (to, message, budget) =>
    talk(
      (connection, sent) => connection.send({ from: sender.address, to: [to] }, message, sent),
      AbortSignal.any([budget.signal, AbortSignal.timeout(SMTP_MS)]),
    )
}

/** Connects, changes to TLS and logs in as for a mail, and sends none. Rejects with what the server says. */
export async function trySmtp(config: Smtp, addr: BackendAddr, signal: AbortSignal): Promise<void> {
  const talk = await dialogue(config, hostLiteral(addr.hostname))
  await talk((_, done) => done(), signal)
}

type Smtp = Extract<MailConfig, { kind: 'SMTP' }>
type SmtpConnection = InstanceType<typeof import('nodemailer/lib/smtp-connection')['default']>
type Talk = (
  say: (connection: SmtpConnection, said: (error?: Error | null) => void) => void,
  signal: AbortSignal,
) => Promise<void>

async function dialogue({ host, port, login, security }: Smtp, name: string): Promise<Talk> {
  const { default: SMTPConnection } = await import('nodemailer/lib/smtp-connection')
  return async (say, signal) => {
    const connection = new SMTPConnection({
      name,
      host,
      port,
      secure: security === 'implicit',
      requireTLS: security === 'starttls',
      ignoreTLS: security === 'none',
      connectionTimeout: SMTP_CONNECT_MS,
      dnsTimeout: SMTP_CONNECT_MS,
      greetingTimeout: SMTP_CONNECT_MS,
      socketTimeout: SMTP_SILENCE_MS,
      tls: {
        minVersion: 'TLSv1.2',
        ...(security !== 'none' && { ca: [...getCACertificates('default'), ...getCACertificates('system')] }),
      },
    })
    try {
      await new Promise<void>((resolve, reject) => {
        const giveUp = () => reject(signal.reason)
        if (signal.aborted) return giveUp()
        signal.addEventListener('abort', giveUp, { once: true })
        const then = (next: () => void) => (error?: Error | null) => (error ? reject(error) : next())
        const send = () => say(connection, then(resolve))
        connection.on('error', reject)
        connection.once('end', () => reject(new Error('the server has closed the connection')))
        connection.connect(
          then(() => (login ? connection.login({ user: login.user, pass: login.password }, then(send)) : send())),
        )
      })
      connection.quit()
    } catch (error) {
      connection.close()
      throw error
    }
  }
}

/** For trials: each mail becomes a file, announced on stderr. */
async function mailFolder(): Promise<Carrier> {
  const folder = await mkdtemp(join(tmpdir(), 'tmp-email-folder-'))
  return async (to, message) => {
    const path = join(folder, `tmp-email-${Uuid.random()}.html`)
    await writeFile(path, message, { mode: 0o600 })
    process.stderr.write(
      `A request to send an e-mail to ${to} has been triggered and mocked.\nThe mail file can be found here: ${path}\n`,
    )
  }
}
