/** The option table: what it promises to people and to the documentation. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, suite, test } from 'node:test'
import { LONGEST_SECONDS } from '@parsec/shared/deadlines'
import { commandHelp } from './command-line/help.ts'
import { type Option, optional, secretsOf } from './command-line/option.ts'
import { UsageError } from './command-line/output.ts'
import { fileForm, optionForms, readCommandLine } from './command-line/read.ts'
import { TEXT, type ValueType } from './command-line/values.ts'
import { humanAccessesSpec } from './commands/backend/human-accesses.ts'
import { migrateSpec } from './commands/backend/migrate.ts'
import { runSpec } from './commands/backend/run.ts'
import { scrubSpec } from './commands/backend/scrub.ts'
import { createServiceSpec } from './commands/backend/sequester/create-service.ts'
import { exportRealmSpec } from './commands/backend/sequester/export-realm.ts'
import { extractRealmExportSpec } from './commands/backend/sequester/extract-realm-export.ts'
import { generateServiceCertificateSpec } from './commands/backend/sequester/generate-service-certificate.ts'
import { importServiceCertificateSpec } from './commands/backend/sequester/import-service-certificate.ts'
import { listServicesSpec } from './commands/backend/sequester/list-services.ts'
import { updateServiceSpec } from './commands/backend/sequester/update-service.ts'
import { formsOf } from './completion.ts'
import { configurationPage } from './configuration-page.ts'
import { migrateOptions, runOptions } from './options.ts'
import { scrubOptions } from './scrub/options.ts'
import { serverSettings } from './settings.ts'
import { toolOptions } from './tool-options.ts'

const TOOLS = [
  humanAccessesSpec,
  createServiceSpec,
  generateServiceCertificateSpec,
  importServiceCertificateSpec,
  listServicesSpec,
  updateServiceSpec,
  exportRealmSpec,
  extractRealmExportSpec,
] as const
const ENOUGH = ['--db=MOCKED', '-b', 'MOCKED', '--administration-token=t']
const run = (argv: string[], environment = {}) => {
  const line = readCommandLine(runSpec, argv, environment)
  assert.ok(line.kind === 'run')
  return line.values
}
const usageError = (pattern: RegExp) => (error: unknown) => error instanceof UsageError && pattern.test(error.message)

test('docs/configuration.md is what `npm run docs` makes', () => {
  assert.equal(readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8'), configurationPage())
})

for (const [name, table] of Object.entries({
  run: runOptions,
  migrate: migrateOptions,
  scrub: scrubOptions,
  ...toolOptions,
})) {
  test(`${name}: every name, letter and variable is unique and spelled like its option`, () => {
    const options: Option[] = Object.values(table)
    const forms = options.flatMap(o => [...optionForms(o), ...(o.secret ? [fileForm(o)] : [])])
    assert.deepEqual(forms, [...new Set(forms)])
    const variables = options.flatMap(o => [...(o.env ?? []), ...(o.sharedEnv ?? [])])
    assert.deepEqual(variables, [...new Set(variables)])
    for (const { env, name: option } of options)
      if (env) assert.equal(env[0], `PARSEC_${option.toUpperCase().replaceAll('-', '_')}`)
    for (const [key, { name: option }] of Object.entries(table))
      assert.equal(
        key.replace(/[A-Z]/g, c => `-${c.toLowerCase()}`),
        option,
      )
  })
}

test('help names every option that is not retired, and its variable', () => {
  for (const spec of [runSpec, migrateSpec, scrubSpec, ...TOOLS]) {
    const help = commandHelp(spec, spec.options)
    for (const option of Object.values<Option>(spec.options)) {
      assert.equal(new RegExp(`--${option.name}[ ,\\n]`).test(help), !option.retired, option.name)
      if (!option.retired)
        for (const variable of option.env ?? []) assert.ok(help.replace(/\s+/g, ' ').includes(variable), variable)
    }
    for (const line of help.split('\n'))
      if (!line.startsWith('  ') || line.startsWith(' '.repeat(8))) assert.ok(line.length <= 100, line)
  }
})

test('an option is one row: it is read, explained, completed, and its secret is known', () => {
  const key: ValueType<string> = { ...TEXT, secrets: text => [text.split(':')[1]!] }
  const reelKey = optional({
    ...{ name: 'reel-key', env: ['PARSEC_REEL_KEY'], type: key, secret: true },
    ...{ group: 'Block storage', text: 'Key of the reel.' },
  } as const)
  const reelPin = optional({ ...reelKey, name: 'reel-pin', env: ['PARSEC_REEL_PIN'], type: TEXT })
  const spec = { ...runSpec, options: { ...runOptions, reelKey, reelPin } }
  const line = readCommandLine(spec, [...ENOUGH, '--reel-key=alice:open'], { PARSEC_REEL_PIN: '1234' })
  assert.ok(line.kind === 'run')
  assert.deepEqual([line.values.reelKey, line.values.reelPin], ['alice:open', '1234'])
  assert.deepEqual(secretsOf(line.values, spec.options), ['t', 'open', '1234'])
  for (const text of ['--reel-key', '--reel-key-file', 'PARSEC_REEL_KEY', 'Key of the reel.']) {
    assert.ok(commandHelp(spec, spec.options).includes(text), text)
    assert.ok(configurationPage(spec.options).includes(text), text)
  }
  const forms = formsOf(spec.options).map(({ form }) => form)
  assert.ok(['--reel-key', '--reel-key-file'].every(form => forms.includes(form)))
})

test('the secrets of the options of the server (06-server §9.3)', () => {
  const values = run([
    ...['--db=postgresql://u:IN-DB@h/d', '--blockstore=s3::r:b:KEY:IN-STORE', '--administration-token=IN-TOKEN'],
    ...['--email-host-password=IN-MAIL', '--nats-url=nats://u:IN-NATS@h,nats://ALONE@i'],
    '--otel-endpoint=https://u:IN-TRACES@h',
  ])
  const expected = ['IN-DB', 'KEY', 'IN-STORE', 'IN-TOKEN', 'IN-MAIL', 'IN-TRACES', 'IN-NATS', 'ALONE']
  assert.deepEqual(secretsOf(values, runOptions), expected)
})

suite('secrets in files', () => {
  const folder = mkdtempSync(join(tmpdir(), 'parsec-options-'))
  after(() => rmSync(folder, { recursive: true }))
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const token = file('token', 'from a file\n')
  test('by option or variable, without the line end', () => {
    const base = ['--db=MOCKED', '-b', 'MOCKED']
    assert.equal(run([...base, `--administration-token-file=${token}`]).administrationToken?.text, 'from a file')
    assert.equal(run(base, { PARSEC_ADMINISTRATION_TOKEN_FILE: token }).administrationToken?.text, 'from a file')
    assert.equal(
      run(base, { PARSEC_ADMINISTRATION_TOKEN_FILE: token, PARSEC_ADMINISTRATION_TOKEN: 'plain' }).administrationToken
        ?.text,
      'plain',
    )
    assert.equal(run(['--dev', `--administration-token-file=${token}`]).administrationToken?.text, 'from a file')
  })
  test('one block store a line', () => {
    const stores = file('stores', 'RAID1:0:s3:h:r:b:k:a b\n\nRAID1:1:MOCKED\n')
    const { blockstore } = run(['--db=MOCKED', '--administration-token=t', `--blockstore-file=${stores}`])
    assert.deepEqual(blockstore, {
      type: 'RAID1',
      nodes: [
        { type: 'S3', endpoint: 'https://h', region: 'r', bucket: 'b', key: 'k', secret: 'a b' },
        { type: 'MOCKED' },
      ],
    })
  })
  test('an empty or missing file is a usage error that names the option', () => {
    const base = ['--db=MOCKED', '-b', 'MOCKED']
    assert.throws(
      () => run([...base, `--administration-token-file=${file('empty', '\n')}`]),
      usageError(/^Invalid value for '--administration-token-file': File '.*empty' is empty\.$/),
    )
    assert.throws(
      () => run(base, { PARSEC_ADMINISTRATION_TOKEN_FILE: '/nope' }),
      usageError(/^Invalid value for '--administration-token-file': File '\/nope' does not exist\.$/),
    )
  })
})

test('the label of a service is what its certificate may have (06-server §6.5)', () => {
  const labelled = (label: string) =>
    readCommandLine(
      createServiceSpec,
      [
        ...['--organization=Org', `--service-public-key=${import.meta.filename}`],
        ...[`--authority-private-key=${import.meta.filename}`, '--db=postgresql://h/d', `--service-label=${label}`],
      ],
      {},
    )
  for (const label of ['Archive', 'é'.repeat(127)]) assert.equal(labelled(label).kind, 'run')
  for (const label of ['', 'two\nlines', 'x'.repeat(256), 'é'.repeat(128)])
    assert.throws(
      () => labelled(label),
      usageError(/^Invalid value for '--service-label': must be one line of 1 to 255 bytes\.$/),
    )
})

suite('a process that runs some services', () => {
  const nats = '--nats-url=nats://h'
  test('needs the options of these services only', () => {
    run(['--services=metadata', nats, '--db=MOCKED'])
    run(['--services=blockstore', nats, '-b', 's3::r:b:k:s'])
    run(['--services=gateway,admin', nats, '--administration-token=t'])
    assert.throws(() => run(['--services=metadata', nats]), usageError(/^Missing option '--db'\.$/))
    assert.throws(() => run(['--services=blockstore', nats]), usageError(/^Missing option '--blockstore' \/ '-b'\.$/))
    assert.throws(() => run(['--services=admin', nats]), usageError(/^Missing option '--administration-token'\.$/))
  })
  test('needs NATS', () => {
    assert.throws(
      () => serverSettings(run(['--services=metadata', '--db=MOCKED']), {}),
      usageError(/needs '--nats-url'/),
    )
  })
  test('needs --db for blocks in PostgreSQL', () => {
    assert.throws(
      () => serverSettings(run(['--services=blockstore', nats, '-b', 'POSTGRESQL']), {}),
      usageError(/^Missing option '--db'/),
    )
  })
  test('is told of its services only', () => {
    const settings = serverSettings(run(['--services=admin', nats, '--administration-token=t']), {})
    assert.deepEqual(
      [settings.services, settings.gateway, settings.metadata, settings.blockstore, settings.database],
      [['admin'], null, null, null, null],
    )
    assert.deepEqual([settings.administrationTokens?.map(({ name }) => name), settings.http?.port], [['token'], 6777])
  })
})

suite('settings', () => {
  const settings = (argv: string[], environment = {}) =>
    serverSettings(run([...ENOUGH, ...argv], environment), environment)
  const postgresql = (argv: string[], environment = {}) => {
    const { database } = serverSettings(
      run(['--db=postgresql://h/d', '-b', 'MOCKED', '--administration-token=t', ...argv], environment),
      environment,
    )
    assert.ok(database?.kind === 'POSTGRESQL')
    return database
  }
  test('are frozen to the last part', () => {
    const { gateway, http } = settings(['--backend-addr=parsec://h'])
    assert.throws(() => Object.assign(gateway!.backendAddr, { port: 1 }), TypeError)
    assert.throws(() => Object.assign(http!, { port: 1 }), TypeError)
  })
  test('the address defaults to host and port, plain without TLS', () => {
    assert.deepEqual(settings(['--host=::1', '--port=7']).backendAddr, { hostname: '[::1]', port: 7, useTls: false })
    assert.equal(settings(['--host=']).backendAddr!.hostname, 'localhost')
  })
  test('what is longer than a timer can wait is as long as it can (06-server §3.1)', () => {
    for (const seconds of ['3000000', '1e300', 'inf'])
      assert.equal(settings([`--sse-keepalive=${seconds}`]).gateway!.sseKeepaliveSeconds, LONGEST_SECONDS)
    assert.equal(settings(['--sse-keepalive=-inf']).gateway!.sseKeepaliveSeconds, -Infinity)
    assert.equal(settings(['--drain-seconds=3000000']).drainMs, LONGEST_SECONDS * 1000)
    const long = postgresql([
      '--pause-before-retry-database-connection=3000000',
      '--db=postgresql://h/d?connect_timeout=9999999',
    ])
    assert.deepEqual([long.retryPauseSeconds, long.target.connectMs], [LONGEST_SECONDS, LONGEST_SECONDS * 1000])
  })
  test('the retired retry options count, with their own meaning of 0', () => {
    assert.equal(postgresql([]).maxAttempts, 10)
    assert.equal(postgresql(['--maximum-database-connection-attempts=0']).maxAttempts, 0)
    assert.equal(postgresql(['--db-first-tries-number=0']).maxAttempts, Infinity)
    assert.deepEqual(postgresql([], { PARSEC_DB_FIRST_TRIES_NUMBER: '20', PARSEC_DB_FIRST_TRIES_SLEEP: '2' }), {
      ...postgresql([]),
      maxAttempts: 20,
      retryPauseSeconds: 2,
    })
    assert.equal(postgresql([], { PARSEC_DB_FIRST_TRIES_NUMBER: 'x' }).maxAttempts, 10)
  })
  test('connection bounds that make no sense are refused', () => {
    assert.throws(
      () => postgresql(['--db-max-connections=0', '--db-min-connections=0']),
      /max_size is expected to be greater than zero/,
    )
    assert.throws(() => postgresql(['--db-max-connections=4']), /min_size is greater than max_size/)
  })
  suite('workers', () => {
    const workers = (argv: string[], place?: string, stores = ['-b', 's3::r:b:k:s']) => {
      const base = ['--db=postgresql://h/d', ...stores, '--administration-token=t', '--workers=3']
      return serverSettings(run([...base, ...argv]), place === undefined ? {} : { PARSEC_WORKER: place })
    }
    const pool = (argv: string[], place?: string) => {
      const { database } = workers(argv, place)
      assert.ok(database?.kind === 'POSTGRESQL')
      return [database.minConnections, database.maxConnections]
    }
    test('share what operators count', () => {
      assert.deepEqual(pool([]), [5, 21])
      assert.deepEqual(pool([], '1/3:80'), [2, 7])
      assert.deepEqual(
        [1, 2, 3].map(number => pool(['--db-max-connections=10'], `${number}/3:80`)),
        [
          [2, 4],
          [2, 3],
          [1, 3],
        ],
      )
      assert.equal(workers(['--max-connections=10'], '2/3:80').http!.maxConnections, 4)
      assert.equal(workers(['--max-connections=10']).http!.maxConnections, 10)
    })
    test('share the port, also one that was free', () => {
      const { http, place } = workers(['--port=0'], '2/3:4711')
      assert.deepEqual([http!.port, http!.isShared, place!.number], [4711, true, 2])
      assert.equal(workers([]).http!.isShared, false)
    })
    test('are refused where they would not share what they keep', () => {
      const refused = (argv: string[], pattern: RegExp) => assert.throws(() => workers(argv), pattern)
      refused(['--db=MOCKED'], /needs a PostgreSQL database/)
      refused(['--dev'], /needs a PostgreSQL database/)
      const raid = ['-b', 'RAID0:0:MOCKED', '-b', 'RAID0:1:s3::r:b:k:s']
      assert.throws(() => workers([], undefined, raid), /needs a block store outside/)
      refused(['--nats-url=nats://h'], /without '--nats-url'/)
      refused(['--workers=0'], /0 is not in the range/)
      refused(
        ['--db-max-connections=5'],
        /^OperatorError: --db-max-connections=5 is shared by --workers=3: they need 6/,
      )
      assert.throws(() => workers([], 'me'), /is set by the server/)
    })
    test('auto is one for each core', () => {
      assert.equal(run([...ENOUGH, '--workers=auto']).workers, availableParallelism())
      assert.equal(run(ENOUGH).workers, 1)
    })
  })
  test('a database URL of another scheme is refused', () => {
    assert.throws(
      () => settings(['--db=mysql://h/d']),
      /^OperatorError: invalid DSN: scheme is expected to be either "postgresql" or "postgres", got 'mysql'$/,
    )
  })
  test('mail: a sender is needed with a real host only; SSL wins over STARTTLS; a login needs both parts', () => {
    assert.equal(settings([]).mail, null)
    assert.deepEqual(settings(['--email-host=MOCKED']).mail, {
      kind: 'MOCKED',
      sender: 'no-reply@parsec.com',
      language: 'en',
    })
    assert.throws(
      () => settings(['--email-host=smtp.x']),
      /^OperatorError: --email-sender is required when --email-host is provided$/,
    )
    const real = ['--email-host=h', '--email-sender=a@b', '--email-use-ssl', '--email-use-tls', '--email-host-user=u']
    assert.deepEqual(settings(real).mail, {
      kind: 'SMTP',
      host: 'h',
      port: 25,
      login: null,
      security: 'implicit',
      sender: 'a@b',
      language: 'en',
    })
  })
  test('ports are within bounds', () => {
    for (const port of [-1, 65_536])
      assert.throws(() => settings([`--port=${port}`]), {
        message: `Invalid value for '--port' / '-P': ${port} is not in the range 0<=x<=65535.`,
      })
  })
})

test('values of the commands about organizations (06-server §6.3)', () => {
  const read = (argv: string[]) => readCommandLine(updateServiceSpec, ['--organization=Org', '--enable', ...argv], {})
  const id = '0123456789abcdef0123456789ABCDEF'
  const line = read(['--db=postgres:///x', `--service=${id}`])
  assert.ok(line.kind === 'run')
  assert.equal(line.values.service?.hex, id.toLowerCase())
  for (const [argv, pattern] of [
    [['--db=mocked', `--service=${id}`], /MOCKED DB can not be used with sequester services/],
    [['--db=postgres:///x', '--service=12'], /'12' is not a valid id/],
    [['--db=postgres:///x'], /Missing option '--service'/],
    [['--db=postgres:///x', `--service=${id}`, '--organization=a b'], /'a b' is not a valid organization id/],
  ] as const)
    assert.throws(() => read([...argv]), usageError(pattern))
  const [file] = process.argv.slice(1)
  const extract = (day: string) => {
    const argv = [`--service-decryption-key=${file}`, `--input=${file}`, '--output=x', `--filter-date=${day}`]
    const line = readCommandLine(extractRealmExportSpec, argv, {})
    return line.kind === 'run' ? line.values.filterDate?.toString() : line.kind
  }
  assert.equal(extract('2024-02-29'), '2024-02-29T00:00:00.000000Z')
  for (const day of ['2023-02-29', '2024-2-1', '2024-01-01T00:00:00Z'])
    assert.throws(() => extract(day), usageError(/is not a day in the form YYYY-MM-DD/))
})
