/** Options of the commands that take organizations over, out and away (spec 07). */
import { organizationId, parse } from '@parsec/shared/codec/fields'
import { BULK_SILENCE_MS } from '@parsec/shared/deadlines'
import { flag, type OptionTable, optional, required, type Values, withDefault } from '../command-line/option.ts'
import { INT, TEXT, type ValueType } from '../command-line/values.ts'
import { migrateOptions, runOptions } from '../options.ts'

const ORGANIZATIONS: ValueType<readonly string[]> = {
  metavar: 'ID',
  parse: text => ORGANIZATIONS.parseAll!([text]),
  parseAll: texts =>
    texts.map(text => {
      const id = parse(organizationId(), text)
      if (!id.ok) throw new Error(`'${text}' is not a valid organization id.`)
      return id.value
    }),
}
const PATH = { ...TEXT, metavar: 'PATH' }

const SECONDS: ValueType<number> = {
  metavar: 'SECONDS',
  parse(text) {
    const seconds = INT.parse(text)
    if (seconds < 1) throw new Error('must be 1 or more.')
    return seconds
  },
}

const { debug, logLevel, logFormat, logFile } = runOptions
const common = {
  json: flag({ name: 'json', group: 'General', text: 'Print one JSON object a line.' }),
  logLevel,
  logFormat,
  logFile,
  debug,
} as const
const maxSilenceSeconds = withDefault(BULK_SILENCE_MS / 1000, {
  name: 'max-silence-seconds',
  type: SECONDS,
  group: 'Database',
  text: 'Give up when a database that is waited for sends and takes nothing for so long. More is needed where it counts or sorts large tables for longer before it answers.',
})
const blockstore = optional({
  ...runOptions.blockstore,
  required: false,
  text: 'The block store of this server, written as for `parsec backend run`.',
})

export const importOptions = {
  from: required(true, {
    name: 'from',
    type: { ...TEXT, metavar: 'URL|FILE' },
    secret: true,
    group: 'Database',
    text: 'What to take over: the database of an original Parsec server, postgresql://user:password@host:port/database, which is only read; or a file made by `parsec backend export`.',
  }),
  db: required(true, {
    ...migrateOptions.db,
    text: 'PostgreSQL database of this server, prepared by `parsec backend migrate`.',
  }),
  organization: withDefault<readonly string[]>([], {
    name: 'organization',
    type: ORGANIZATIONS,
    repeatable: true,
    defaultText: 'all',
    group: 'Organizations',
    text: 'Take this organization only; may be given several times.',
  }),
  maxSilenceSeconds,
  blockstore,
  copyBlocks: flag({
    name: 'copy-blocks',
    group: 'Block storage',
    text: 'Write the blocks that the source keeps in its database to --blockstore, whatever that is. Each is read back.',
  }),
  dryRun: flag({ name: 'dry-run', group: 'General', text: 'Read and check everything, write nothing.' }),
  skipVerification: flag({
    name: 'skip-verification',
    group: 'Organizations',
    text: 'Take organizations whose certificates do not verify as they are; the report names them.',
  }),
  verify: flag({
    name: 'verify',
    group: 'General',
    text: 'Compare what was taken over with the source, and sample blocks of --blockstore; write nothing.',
  }),
  report: withDefault('parsec-import-report.jsonl', {
    name: 'report',
    type: PATH,
    group: 'General',
    text: 'File to which everything odd is appended, one JSON object a line.',
  }),
  organizationInitialUserProfileOutsiderAllowed: runOptions.organizationInitialUserProfileOutsiderAllowed,
  ...common,
} as const satisfies OptionTable
export type ImportValues = Values<typeof importOptions>

const db = required(true, {
  ...migrateOptions.db,
  text: 'PostgreSQL database of the server: postgresql://user:password@host:port/database?parameters.',
})
const oneOrganization = required(true, {
  name: 'organization',
  type: { metavar: 'ID', parse: (text: string) => ORGANIZATIONS.parse(text)[0]! },
  group: 'Organizations',
  text: 'Id of the organization.',
})

export const exportOptions = {
  db,
  organization: oneOrganization,
  output: required(true, {
    name: 'output',
    type: PATH,
    group: 'General',
    text: 'File to write; refused when it exists.',
  }),
  blocks: flag({
    name: 'blocks',
    group: 'Block storage',
    text: 'With the contents of all blocks, read from --blockstore.',
  }),
  withoutDamagedBlocks: flag({
    name: 'without-damaged-blocks',
    group: 'Block storage',
    text: 'Name each block that cannot be read and leave it out; without this, the first one ends the export.',
  }),
  maxSilenceSeconds,
  blockstore,
  ...common,
} as const satisfies OptionTable
export type ExportValues = Values<typeof exportOptions>

export const deleteOrganizationOptions = {
  db,
  organization: oneOrganization,
  confirm: optional({
    name: 'confirm',
    type: { ...TEXT, metavar: 'CODE' },
    group: 'Organizations',
    defaultText: 'only show what would go',
    text: 'The code that the command shows without this option.',
  }),
  blockstore: required(true, {
    ...runOptions.blockstore,
    text: 'The block store of the server, written as for `parsec backend run`: its objects go too.',
  }),
  ...common,
} as const satisfies OptionTable
export type DeleteOrganizationValues = Values<typeof deleteOrganizationOptions>

export const takeoverOptions = {
  import: importOptions,
  export: exportOptions,
  delete_organization: deleteOrganizationOptions,
} as const
