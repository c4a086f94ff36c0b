/** `docs/configuration.md`, made from the tables of options so that it cannot differ from what the program does. */

import { type Parameter, parameters } from '@parsec/shared/postgres/url'
import { defaultText, optionSyntax } from './command-line/help.ts'
import { GROUPS, type Option, type OptionTable } from './command-line/option.ts'
import { fileForm, fileVariable } from './command-line/read.ts'
import { copyOptions } from './copy/options.ts'
import { migrateOptions, runOptions } from './options.ts'
import { scrubOptions } from './scrub/options.ts'
import { toolOptions } from './tool-options.ts'

export function configurationPage(run: OptionTable = runOptions): string {
  return [
    INTRODUCTION,
    '## `parsec backend run`',
    ...GROUPS.flatMap(group => section(group, '###', run)),
    RETIRED,
    table(Object.values(run).filter(o => o.retired)),
    MIGRATE,
    table(Object.values(migrateOptions).filter(o => !o.retired)),
    SCRUB,
    table(Object.values<Option>(scrubOptions).filter(o => !o.retired)),
    COPY,
    table(Object.values<Option>(copyOptions).filter(o => !o.retired)),
    CHECK,
    TOOLS,
    ...Object.entries<OptionTable>(toolOptions).flatMap(([words, options]) => [
      `### \`parsec backend ${words}\``,
      table(Object.values(options).filter(o => !SHARED_NAMES.has(o.name))),
    ]),
    DATABASE_URL,
    parameterTable(),
    DATABASE_URL_ENDING,
  ].join('\n\n')
}

const INTRODUCTION = `# Configuration

<!-- Made by \`npm run docs\` from cli/src/options.ts and the options.ts of other commands; edit those. -->

Nothing needs a configuration file: every option is an argument of the command, an environment variable, or both.
\`parsec backend run --dev\` needs none of them. A server for real needs a database, an object store and a secret:

\`\`\`sh
export PARSEC_DB_FILE=/run/secrets/db                  # postgresql://parsec:PASSWORD@db.example.com/parsec
export PARSEC_BLOCKSTORE_FILE=/run/secrets/blockstore  # s3:https\\://s3.example.com:REGION:BUCKET:KEY:SECRET
parsec backend migrate
parsec backend run --host 0.0.0.0 --port 6777 \\
  --administration-token-file /run/secrets/parsec-token \\
  --backend-addr parsec://parsec.example.com
\`\`\`

## How a value is found

The first of these that has the option counts:

1. \`PARSEC_CMD_ARGS\`: its words are appended to the arguments of every \`parsec\` command. It is split at white space
   first, then \`$NAME\` and \`\${NAME}\` are replaced in each word; there is no quoting, and undefined names stay as
   written.
2. the arguments as typed; of an option given several times the last one, except \`--blockstore\`, of which all count;
3. what \`--dev\` stands for;
4. the environment variable; an empty one counts as unset;
5. the default.

Secrets may be kept in files: each option marked *file* also exists as \`--<option>-file\` and \`<VARIABLE>_FILE\`, which
name the file that holds the value (one value a line for \`--blockstore\`). A line end at the end of the file is not part
of the value.

| Type | Accepts |
|---|---|
| TEXT | anything |
| INTEGER | a sign, digits, \`_\` between digits |
| FLOAT | a decimal number, with exponent if need be |
| BOOLEAN, and every flag from its variable | \`true t 1 yes y on\`, \`false f 0 no n off\`, in any case |
| FILE | the path of a file that can be read |
| one of several words | that word, in any case |

A flag takes no value on the command line. What cannot be understood ends the program with exit code 2 and one line that
names the option; what turns out not to work (a database that refuses, a port that is taken) ends it with exit code 1.
[Operations](operations.md#start-and-stop) has the signals that a server heeds.`

const DATABASE_URL = `## The database URL

\`postgresql://user:password@host:port/database?parameter=value&…\` means what it means to libpq, the library of
PostgreSQL's own programs. Every part may be missing: the variables of libpq stand in for it, then its defaults; without
any host the sockets in \`/run/postgresql\`, \`/var/run/postgresql\`, \`/tmp\` and \`/private/tmp\` are tried, then
localhost. Letters, digits and \`-._~\` stand for themselves in user and password; everything else is percent-encoded
(\`/\` as \`%2F\`, \`#\` as \`%23\`, \`?\` as \`%3F\`, \`@\` as \`%40\`, \`:\` as \`%3A\`, \`%\` as \`%25\`). Several
hosts are separated by commas and tried in order:
\`postgresql://parsec@db1.example.com,db2.example.com:5433/parsec?target_session_attrs=read-write\`.`

const DATABASE_URL_ENDING = `Every other parameter is a setting of the session, like \`search_path=parsec\` or
\`synchronous_commit=remote_apply\`; PostgreSQL refuses those that it does not know, so a misspelt one is found at the
start. What the server relies on it sets itself: time zone, date and interval style, isolation, and time-outs for
statements, locks and idle transactions, whatever role and database say.

A pooler in between, like PgBouncer, must work in session mode: in transaction mode these settings would hold for
others, and the server refuses to start.
`

const parameterTable = (): string =>
  [
    '| Parameter | Variable | Meaning |',
    '|---|---|---|',
    ...Object.entries<Parameter>(parameters).map(
      ([name, { variable, meaning }]) => `| \`${name}\` | ${variable ? `\`${variable}\`` : ''} | ${meaning} |`,
    ),
  ].join('\n')

const RETIRED = `### Options of older releases

Accepted, so that existing deployments start unchanged. A variable whose value does not fit is ignored.`

const MIGRATE = `## \`parsec backend migrate\`

Creates or updates the tables; also known as \`parsec backend init\`. Run it before the first start and before each start
of a newer release. Exit code 1 when a step failed.`

const SCRUB = `## \`parsec backend scrub\`

Compares the block store with the database, and repairs it; see [operations](operations.md). Exit code 0: all is well; 3:
something was wrong and is repaired; 4: something is wrong still, or could not be checked; 1: the scrub could not be
finished.`

const COPY = `## \`parsec backend blocks copy\`

Copies every block into another block store, of whatever kind, and reads it back; see
[operations](operations.md#moving-blocks). Exit code 0: every block is copied; 4: some are not; 1: the copy could not be
finished.`

const CHECK = `## \`parsec backend check\`

Looks at all that the server needs, before it starts or while it runs; see
[administration](administration.md#is-everything-there). It takes the options of \`parsec backend run\` for services,
database, block store, NATS, mail, TLS and \`--backend-addr\`, from the same variables, and \`--json\`. What is not given is
not looked at. Exit code 0: nothing is wrong; 1: something is.`

const TOOLS = `## Commands about organizations

Beside what is listed here, those that look into the database take --db, --db-min-connections, --db-max-connections and
the three log options, \`export_realm\` takes --blockstore, and all take --debug, as \`parsec backend run\` does. The
database must be PostgreSQL. Exit code 1 when the command could not do all of what it was asked for; see
[operations](operations.md#sequester-services).`
const SHARED_NAMES = new Set(Object.values<Option>(runOptions).map(o => o.name))

function section(group: string, heading: string, options: OptionTable): string[] {
  const rows = Object.values(options).filter(o => o.group === group && !o.retired)
  return rows.length === 0 ? [] : [`${heading} ${group}`, table(rows)]
}

function table(rows: readonly Option[]): string {
  const lines = rows.map(o => `| ${[forms(o), variables(o), standing(o), o.text.replaceAll('|', '\\|')].join(' | ')} |`)
  return ['| Option | Variable | Default | Meaning |', '|---|---|---|---|', ...lines].join('\n')
}

const forms = (option: Option): string => {
  const syntax = `\`${optionSyntax(option).replaceAll('|', '\\|')}\``
  return option.secret ? `${syntax}<br>*file:* \`${fileForm(option)}\`` : syntax
}
function variables(option: Option): string {
  const own = (option.env ?? []).map(v => `\`${v}\``)
  const files = option.secret ? (option.env ?? []).map(v => `\`${fileVariable(v)}\``) : []
  const shared = (option.sharedEnv ?? []).map(v => `\`${v}\` when it is a boolean`)
  return [...own, ...files, ...shared].join('<br>') || '–'
}
function standing(option: Option): string {
  if (option.required) return `**required**${option.required === true ? '' : ` by ${option.required.join(', ')}`}`
  return option.flag ? 'off' : defaultText(option) || '–'
}
