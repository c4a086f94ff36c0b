/** What every `parsec admin` command has: the server and the token that it asks with, and the form of what it shows. */

import type { CommandHelp } from '../command-line/help.ts'
import { flag, type OptionTable, required, type Values, withDefault } from '../command-line/option.ts'
import { EXIT_OK, type Output, plain } from '../command-line/output.ts'
import { ParsecCommand } from '../command-line/parsec-command.ts'
import type { CommandSpec } from '../command-line/read.ts'
import type { CommandClass } from '../command-line/tree.ts'
import type { ValueType } from '../command-line/values.ts'
import { AdminApi, type Json, tokenOf } from './api.ts'
import { type Column, csv, table } from './table.ts'

const SERVER_URL: ValueType<URL> = {
  metavar: 'URL',
  parse(text) {
    const url = URL.parse(text.includes('://') ? text : `https://${text}`)
    if (!url || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '')
      throw new Error(`'${text}' is not like https://parsec.example.com.`)
    url.pathname = url.pathname.replace(/\/?$/, '/')
    return url
  },
}
const ADMIN_TOKEN: ValueType<string> = { metavar: 'TEXT', parse: tokenOf }

const connection = {
  server: withDefault(new URL('http://127.0.0.1:6777/'), {
    name: 'server',
    short: 's',
    env: ['PARSEC_ADMIN_SERVER'],
    type: SERVER_URL,
    defaultText: 'http://127.0.0.1:6777',
    group: 'Server',
    text: 'Where the administration API of the server is reached.',
  }),
  token: required(true, {
    name: 'token',
    env: ['PARSEC_ADMINISTRATION_TOKEN'],
    type: ADMIN_TOKEN,
    secret: true,
    group: 'Server',
    text: 'Administration token of the server. Other users of the machine see what is typed: use the file or the variable.',
  }),
  debug: flag({ name: 'debug', group: 'General', text: 'Show where an error came from.' }),
} as const satisfies OptionTable
const form = {
  json: flag({ name: 'json', group: 'Output', text: 'Print what the server answers, as JSON.' }),
  csv: flag({ name: 'csv', group: 'Output', text: 'Print comma-separated values.' }),
} as const satisfies OptionTable

/** What a command came to: a list with its columns, or a thing; `after` is for people. */
export type Shown =
  | { whole: Json; items: readonly Json[]; columns: readonly Column[]; after?: string }
  | { whole: Json; text: string }

export type AdminCommand<O extends OptionTable = OptionTable> = CommandHelp & {
  readonly options: O
  run(api: AdminApi, values: Values<O>, output: Output): Promise<Shown>
}

/** Types the command's values by its own options. */
export const adminCommand = <const O extends OptionTable>(command: AdminCommand<O>): AdminCommand => command

/** The command as the command line finds it. */
export function classOf(command: AdminCommand): CommandClass {
  const spec = { ...command, options: { ...command.options, ...connection, ...form } }
  return class extends ParsecCommand<typeof spec.options> {
    static override summary = command.summary
    protected readonly spec: CommandSpec<typeof spec.options> & CommandHelp = spec
    protected override async execute(values: Values<typeof spec.options>, output: Output): Promise<number> {
      const { server, token, json, csv: asCsv } = values
      const own = Object.fromEntries(Object.entries(values).filter(([key]) => key in command.options))
      const shown = await command.run(new AdminApi(server, token!), own, output)
      if (json) output.data(`${JSON.stringify(shown.whole, null, 2)}\n`)
      else if ('text' in shown) output.out(shown.text)
      else if (asCsv) output.data(csv(shown.columns, shown.items))
      else output.out(`${table(shown.columns, shown.items)}${shown.after ?? ''}`)
      for (const { service, replica, host } of shown.whole.unanswered ?? [])
        output.err(`Warning: ${service} ${replica} on ${plain(host)} did not answer: what it knows is missing above.\n`)
      return EXIT_OK
    }
  }
}
