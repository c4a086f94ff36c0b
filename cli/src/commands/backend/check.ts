/** `parsec backend check`: looks at everything that the server needs, before it starts or when something is wrong. */
import { SERVICE_NAMES } from '@parsec/shared/protocol/command'
import { type Finding, Findings, type Verdict } from '../../check/finding.ts'
import { type CheckValues, checkOptions } from '../../check/options.ts'
import { EXIT_FAILURE, EXIT_OK, type Output, plain } from '../../command-line/output.ts'
import { ParsecCommand } from '../../command-line/parsec-command.ts'
import { useProxies } from '../../server/proxy.ts'
import { trustSystem } from '../../server/trust.ts'
import { mailConfig, natsSettings, networkOptions, postgresPool, tlsFiles } from '../../settings.ts'

const checkSpec = {
  path: 'parsec backend check',
  options: checkOptions,
  summary: 'Look at database, block store, NATS, mail, certificate and public address.',
  description:
    'Look at what the server needs, with the options and variables of `parsec backend run`, and say what is wrong and what to do about it: the database (speed, encryption, schema, rights, clock), each node of the block store (a small object is written, read, listed and deleted), NATS (max_payload, permissions), the mail server (no mail is sent), the certificate, and --backend-addr as clients reach it. What is not named is not looked at. It may run beside the server.\n\nExits with 1 when something does not work.',
  examples: [
    'parsec backend check            # with the variables of the server',
    'parsec backend check --db postgresql://parsec@db.example.com/parsec',
    'parsec backend check --backend-addr parsec://parsec.example.com      # from somewhere else',
  ],
} as const

export class Check extends ParsecCommand<typeof checkOptions> {
  static override summary: string = checkSpec.summary
  protected readonly spec = checkSpec

  protected override async execute(values: CheckValues, output: Output): Promise<number> {
    useProxies(networkOptions(process.env).proxy)
    trustSystem()
    const worst = new Set<Verdict>()
    const tell = (findings: readonly Finding[]) => {
      for (const finding of findings) {
        worst.add(finding.verdict)
        if (values.json) output.data(`${JSON.stringify(finding)}\n`)
        else show(finding, output)
      }
    }
    const database = await lookAtDatabase(values, tell)
    await lookAtNodes(values, database, tell)
    await lookAtNats(values, tell)
    await lookAtMail(values, tell)
    await lookAtCertificate(values, tell)
    if (values.backendAddr) tell(await (await import('../../check/outside.ts')).checkOutside(values.backendAddr))
    if (worst.size === 0)
      output.out('Nothing to look at: name --db, --blockstore, --nats-url, --email-host or others.\n')
    return worst.has('failed') || worst.size === 0 ? EXIT_FAILURE : EXIT_OK
  }
}

type Tell = (findings: readonly Finding[]) => void

async function lookAtDatabase(values: CheckValues, tell: Tell) {
  if (values.db === undefined || values.db === 'MOCKED') return undefined
  const { checkDatabase } = await import('../../check/database.ts')
  const config = { ...postgresPool(values, process.env), maxAttempts: 1, retryPauseSeconds: 0 }
  const { findings, nodes } = await checkDatabase(config)
  tell(findings)
  return { config, nodes }
}

async function lookAtNodes(
  { blockstore }: CheckValues,
  database: Awaited<ReturnType<typeof lookAtDatabase>>,
  tell: Tell,
): Promise<void> {
  if (!blockstore) return
  const { checkNodes } = await import('../../check/nodes.ts')
  const config = database?.config ?? { kind: 'MOCKED' as const }
  tell(await checkNodes(blockstore, config, networkOptions(process.env), database?.nodes))
}

async function lookAtNats(values: CheckValues, tell: Tell): Promise<void> {
  const nats = natsSettings(values)
  if (nats) tell(await (await import('../../check/nats.ts')).checkNats(nats, values.services ?? SERVICE_NAMES))
}

async function lookAtMail(values: CheckValues, tell: Tell): Promise<void> {
  const mail = mailConfig(values)
  const addr = values.backendAddr ?? { hostname: 'localhost', port: 443, useTls: true }
  if (mail) tell(await (await import('../../check/mail.ts')).checkMail(mail, addr))
}

/** That of the server itself; the one that clients see is looked at from outside. */
async function lookAtCertificate(values: CheckValues, tell: Tell): Promise<void> {
  if (!values.sslCertfile && !values.sslKeyfile) return
  const { checkCertificate } = await import('../../check/certificate.ts')
  const findings = new Findings('certificate')
  await findings.look('see --ssl-keyfile and --ssl-certfile', async () => {
    const files = tlsFiles(values.sslKeyfile, values.sslCertfile)
    if (files) checkCertificate(files.cert, values.backendAddr?.hostname ?? null, findings)
  })
  tell(findings.list)
}

const MARKS = { ok: 'ok     ', warning: 'warning', failed: 'FAILED ' } as const
const COLOURS = { ok: 32, warning: 33, failed: 31 } as const
function show({ verdict, about, found, remedy }: Finding, output: Output): void {
  output.out(MARKS[verdict], COLOURS[verdict])
  output.out(`  ${plain(`${about}: ${found}${remedy === undefined ? '' : ` → ${remedy}`}`)}\n`)
}
