/** The SMTP dialogue in each of its securities, with what may go wrong (spec 04 §10.1, §10.2; 06 §3.3). */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createSecureContext, getCACertificates, setDefaultCACertificates, TLSSocket } from 'node:tls'
import { Budget } from '@parsec/shared/budget'
import { Uuid } from '@parsec/shared/codec/values'
import type { MailConfig } from '@parsec/shared/config'
import type { Log } from '@parsec/shared/log'
import { Mailer } from './mail.ts'

const folder = mkdtempSync(join(tmpdir(), 'parsec-mail-'))
after(() => rmSync(folder, { recursive: true, force: true }))

/** A certificate of its own authority for 127.0.0.1. */
function certificate(name: string): { key: Buffer; cert: Buffer } {
  const file = (what: string) => join(folder, `${name}-${what}.pem`)
  const argv = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost'.split(
    ' ',
  )
  const extensions = ['-addext', 'subjectAltName=IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:TRUE']
  execFileSync('openssl', [...argv, ...extensions, '-keyout', file('key'), '-out', file('cert')], { stdio: 'ignore' })
  return { key: readFileSync(file('key')), cert: readFileSync(file('cert')) }
}
const trusted = certificate('trusted')
const stranger = certificate('stranger')
setDefaultCACertificates([...getCACertificates('default'), String(trusted.cert)])

type Options = {
  implicit?: boolean
  starttls?: boolean
  tls?: { key: Buffer; cert: Buffer }
  login?: { user: string; password: string }
  greeting?: string
}
type Delivery = { from: string; to: string[]; text: string; secure: boolean }

/** A mail server for one test; it keeps what clients said and delivered. */
async function mailServer({ implicit, starttls, tls = trusted, login, greeting = '220 test' }: Options = {}) {
  const context = createSecureContext(tls)
  const said: string[] = []
  const greeted: string[] = []
  const delivered: Delivery[] = []
  const sockets = new Set<Socket>()
  const converse = (socket: Socket, secure: boolean) => {
    const state = { text: '', data: false, from: '', to: [] as string[] }
    const say = (line: string) => socket.write(`${line}\r\n`)
    const answer = (line: string): void => {
      said.push(line.split(' ')[0]!.toUpperCase())
      const address = /<([^>]*)>/.exec(line)?.[1] ?? ''
      if (/^EHLO/i.test(line)) {
        greeted.push(line.slice(5))
        const extensions = [...(starttls && !secure ? ['STARTTLS'] : []), ...(login ? ['AUTH PLAIN'] : [])]
        say(['250-test', ...extensions.map(e => `250-${e}`), '250 8BITMIME'].join('\r\n'))
      } else if (/^STARTTLS/i.test(line) && starttls) {
        socket.removeAllListeners('data')
        say('220 go')
        converse(new TLSSocket(socket, { isServer: true, secureContext: context }), true)
      } else if (/^AUTH PLAIN/i.test(line)) {
        const [, user, password] = Buffer.from(line.slice(11), 'base64').toString().split('\0')
        say(user === login?.user && password === login?.password ? '235 welcome' : '535 who are you')
      } else if (/^MAIL/i.test(line)) {
        state.from = address
        say('250 ok')
      } else if (/^RCPT/i.test(line)) {
        if (address.startsWith('nobody')) say('550 no such person')
        else if (address.startsWith('busy')) say('450 mailbox busy')
        else {
          state.to.push(address)
          say('250 ok')
        }
      } else if (/^DATA/i.test(line)) {
        state.data = true
        say('354 go')
      } else if (/^QUIT/i.test(line)) {
        say('221 bye')
        socket.end()
      } else say('502 unknown')
    }
    socket.on('error', () => {})
    socket.on('data', chunk => {
      state.text += chunk
      for (;;) {
        const end = state.text.indexOf(state.data ? '\r\n.\r\n' : '\r\n')
        if (end < 0) return
        const piece = state.text.slice(0, end)
        state.text = state.text.slice(end + (state.data ? 5 : 2))
        if (!state.data) answer(piece)
        else {
          state.data = false
          delivered.push({ from: state.from, to: state.to, text: piece, secure })
          say('250 ok')
        }
      }
    })
  }
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => {})
    const used = implicit ? new TLSSocket(socket, { isServer: true, secureContext: context }) : socket
    converse(used, implicit === true)
    used.write(`${greeting}\r\n`)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    said,
    greeted,
    delivered,
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

const lines: { event: string; [key: string]: unknown }[] = []
const log = { warning: (event: string, keys: object) => void lines.push({ event, ...keys }) } as unknown as Log

type Smtp = Extract<MailConfig, { kind: 'SMTP' }>
async function send(port: number, config: Partial<Pick<Smtp, 'security' | 'login'>> = {}, to = 'zack@example.com') {
  const sender = 'Parsec <no-reply@example.com>'
  const mailer = await Mailer.open(
    { kind: 'SMTP', host: '127.0.0.1', port, sender, language: 'en', login: null, security: 'none', ...config },
    { hostname: 'parsec.example.com', port: 443, useTls: true },
    log,
  )
  const greeter = { user_id: 'alice', human_handle: ['alice@example.com', 'Alice'] as const }
  return mailer.send({ type: 'USER', organization_id: 'Org', token: Uuid.random(), greeter, to }, new Budget(60_000))
}
async function exchange(options: Options, config: Parameters<typeof send>[1], to?: string) {
  const server = await mailServer(options)
  try {
    const email_sent = await send(server.port, config, to)
    const { said, delivered, greeted } = server
    return { email_sent, said, delivered, greeted: greeted[0] }
  } finally {
    server.close()
  }
}

test('without security nothing is encrypted, even if the server could (04-invite §10.1)', async () => {
  const { email_sent, said, delivered } = await exchange({ starttls: true }, {})
  assert.equal(email_sent, 'SUCCESS')
  assert.deepEqual(said.slice(0, said.indexOf('DATA') + 1), ['EHLO', 'MAIL', 'RCPT', 'DATA'])
  const [mail] = delivered
  assert.deepEqual([mail?.from, mail?.to, mail?.secure], ['no-reply@example.com', ['zack@example.com'], false])
  assert.match(mail!.text, /^Content-Type: multipart\/alternative;/)
})

test('STARTTLS comes before login and mail (04-invite §10.1)', async () => {
  const login = { user: 'u', password: 'p' }
  const { email_sent, said, delivered } = await exchange({ starttls: true, login }, { security: 'starttls', login })
  assert.equal(email_sent, 'SUCCESS')
  assert.deepEqual(said.slice(0, said.indexOf('DATA') + 1), [
    'EHLO',
    'STARTTLS',
    'EHLO',
    'AUTH',
    'MAIL',
    'RCPT',
    'DATA',
  ])
  assert.equal(delivered[0]?.secure, true)
})

test('a server without STARTTLS gets no mail in clear (04-invite §10.2)', async () => {
  const { email_sent, said } = await exchange({}, { security: 'starttls' })
  assert.equal(email_sent, 'NOT_AVAILABLE')
  assert.ok(!said.includes('MAIL'))
})

test('TLS from the first byte (06-server#59)', async () => {
  const { email_sent, delivered } = await exchange({ implicit: true }, { security: 'implicit' })
  assert.equal(email_sent, 'SUCCESS')
  assert.equal(delivered[0]?.secure, true)
})

test('a certificate that nobody vouches for ends the dialogue (04-invite §10.1)', async () => {
  for (const security of ['implicit', 'starttls'] as const) {
    const options = { implicit: security === 'implicit', starttls: true, tls: stranger }
    const { email_sent, said } = await exchange(options, { security })
    assert.equal(email_sent, 'NOT_AVAILABLE')
    assert.ok(!said.includes('MAIL'))
  }
})

test('a refused login or greeting is not the fault of the recipient (04-invite §10.2)', async () => {
  const login = { user: 'u', password: 'p' }
  const wrong = await exchange({ login }, { login: { user: 'u', password: 'wrong' } })
  assert.equal(wrong.email_sent, 'NOT_AVAILABLE')
  assert.equal((await exchange({ greeting: '554 go away' }, {})).email_sent, 'NOT_AVAILABLE')
  assert.ok(lines.some(({ event, response_code }) => event === 'SMTP error' && response_code === 535))
  assert.ok(!JSON.stringify(lines).includes('wrong'), 'no password in the log')
})

test('a refused recipient is told apart (04-invite §10.2)', async () => {
  assert.equal((await exchange({}, {}, 'nobody@example.com')).email_sent, 'BAD_RECIPIENT')
})

test('a recipient who is to be tried later is no bad one, and a server greets by its name (04-invite §10.2)', async () => {
  const { email_sent, greeted } = await exchange({}, {}, 'busy@example.com')
  assert.deepEqual([email_sent, greeted], ['NOT_AVAILABLE', 'parsec.example.com'])
})

test('an address that cannot be written never reaches the server (04-invite §10.3)', async () => {
  for (const to of [
    'zoé@example.com',
    'a@b.c\r\nBcc: e@f.g',
    'a@b.c>\r\nRCPT TO:<e@f.g',
    'Zoe <a@b.c>',
    'a b@c.d',
    '',
  ]) {
    const { email_sent, said } = await exchange({}, {}, to)
    assert.deepEqual([email_sent, said], ['NOT_AVAILABLE', []])
  }
})

test('a host where nothing listens (06-server#58)', async () => {
  const server = await mailServer()
  server.close()
  assert.equal(await send(server.port), 'NOT_AVAILABLE')
})
