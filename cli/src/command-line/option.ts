/** What an option is: one row of the table in `options.ts`, and how rows are made. */
import type { ServiceName } from '@parsec/shared/protocol/command'
import { BOOL, type ValueType } from './values.ts'

export const GROUPS = [
  'Arguments',
  'Server',
  'Output',
  'Network',
  'Database',
  'Block storage',
  'Administration',
  'Organizations',
  'Mail',
  'TLS',
  'Logs and telemetry',
  'Several processes',
  'General',
] as const
export type Group = (typeof GROUPS)[number]

type Row<T> = {
  /** Long name without dashes. */
  readonly name: string
  readonly short?: string
  /** Other long names, of older releases. */
  readonly aliases?: readonly string[]
  /** Variables, the first that is set counts. */
  readonly env?: readonly string[]
  /** Variables that belong to other programs too: ignored unless their value fits. */
  readonly sharedEnv?: readonly string[]
  /** Given by its place instead of its name, which then stands for it in texts. */
  readonly isArgument?: boolean
  /** Absent for a flag, which takes no value on the command line. */
  readonly type: ValueType<T>
  readonly flag?: boolean
  readonly repeatable?: boolean
  /** May also be read from the file named by `--<name>-file` or `<VARIABLE>_FILE`. */
  readonly secret?: boolean
  /** Must be given; where services are named, when one of them runs. */
  readonly required?: boolean | readonly ServiceName[]
  /** Services that use the option. */
  readonly services?: readonly ServiceName[]
  /** The default as shown to people, when it is not plainly `default`. */
  readonly defaultText?: string
  readonly group: Group
  readonly text: string
  /** Still accepted, not shown by `--help`; a variable with a bad value is ignored. */
  readonly retired?: boolean
}
/** One option; `T` includes undefined when it has no default. */
export type Option<T = unknown> = Row<T> & { readonly default: T | undefined }
export type OptionTable = { readonly [key: string]: Option }
export type Values<O extends OptionTable> = { readonly [K in keyof O]: O[K] extends Option<infer T> ? T : never }

export const required = <T>(by: true | readonly ServiceName[], row: Row<T>): Option<T | undefined> => ({
  ...row,
  required: by,
  default: undefined,
})
export const optional = <T>(row: Row<T>): Option<T | undefined> => ({ ...row, default: undefined })
export const withDefault = <T>(value: T, row: Row<T>): Option<T> => ({ ...row, default: value })
export const argument = <T>(row: Omit<Row<T>, 'group'>): Option<T> => ({
  ...row,
  group: 'Arguments',
  isArgument: true,
  required: true,
  default: undefined,
})
export const flag = (row: Omit<Row<boolean>, 'type'>): Option<boolean> => ({
  ...row,
  type: BOOL,
  flag: true,
  default: false,
})

/** What of the values of a command must be in no report: of each secret option what its type says. */
export function secretsOf(values: { readonly [key: string]: unknown }, options: OptionTable): string[] {
  return Object.entries(options).flatMap(([key, { secret, type }]) => {
    const value = values[key]
    if (!secret || value === undefined) return []
    return type.secrets?.(value) ?? [String(value)]
  })
}
