/**
 * Reads the arguments of one command by its option table (spec 06 §2): typed values, then the environment, then
 * defaults; options in the order typed, then those that were not, in the order of the table; the first failure is
 * reported alone.
 */
import { readFileSync } from 'node:fs'
import type { Environment } from './argv.ts'
import { words } from './argv.ts'
import type { Option, OptionTable, Values } from './option.ts'
import { UsageError, usageLines } from './output.ts'
import { suggestion } from './suggestion.ts'
import { BOOL, FILE } from './values.ts'

/** What the command line knows of a command. */
export type CommandSpec<O extends OptionTable = OptionTable> = {
  /** As typed: `parsec backend run`. */
  readonly path: string
  readonly options: O
  /** Adds options as if they were typed; `given` holds the last typed text of each. */
  readonly implied?: (
    given: ReadonlyMap<string, string>,
    environment: Environment,
  ) => (readonly [name: string, text: string])[]
}
export type CommandLine<O extends OptionTable> =
  | { kind: 'help' }
  | { kind: 'version' }
  | { kind: 'run'; values: Values<O> }

/** One typed option. */
type Typed = { option: Option; form: string; text: string; fromFile: boolean }
type Eager = 'help' | 'version'

/** Throws `UsageError`. */
export function readCommandLine<O extends OptionTable>(
  spec: CommandSpec<O>,
  argv: readonly string[],
  environment: Environment,
): CommandLine<O> {
  const usage = usageLines(`${spec.path} ${synopsis(spec.options)}`, spec.path)
  const { typed, eager, extra } = tokenize(spec, argv, usage)
  if (eager) return { kind: eager }
  for (const option of argumentsOf(spec.options)) {
    const text = extra.shift()
    if (text !== undefined) typed.push({ option, form: option.name, text, fromFile: false })
  }
  if (spec.implied) {
    const given = new Map(typed.map(t => [t.option.name, t.text]))
    const table = Object.values(spec.options)
    for (const [name, text] of spec.implied(given, environment)) {
      const option = table.find(o => o.name === name)!
      typed.push({ option, form: `--${name}`, text, fromFile: false })
    }
  }
  const reader = new Reader(typed, environment, usage)
  const keys = new Map(Object.entries(spec.options).map(([key, option]) => [option, key]))
  // What a process needs depends on its services, so these are known before anything else is judged.
  const services = spec.options.services && (reader.read(spec.options.services) as readonly string[] | undefined)
  const order = new Set([...typed.map(t => t.option), ...Object.values(spec.options)])
  const values: { [key: string]: unknown } = {}
  for (const option of order) values[keys.get(option)!] = reader.read(option, services)
  if (extra.length > 0)
    throw new UsageError(`Got unexpected extra argument${extra.length > 1 ? 's' : ''} (${extra.join(' ')})`, usage)
  return { kind: 'run', values: values as Values<O> }
}

const argumentsOf = (options: OptionTable): Option[] => Object.values(options).filter(option => option.isArgument)
/** What stands behind the words of a command. */
export const synopsis = (options: OptionTable): string =>
  ['[OPTIONS]', ...argumentsOf(options).map(({ name, required }) => (required ? name : `[${name}]`))].join(' ')

/** `'--port' / '-P'`. */
export function optionForms(option: Option): string[] {
  return [
    `--${option.name}`,
    ...(option.aliases ?? []).map(alias => `--${alias}`),
    ...(option.short ? [`-${option.short}`] : []),
  ]
}
export const fileForm = (option: Option): string => `--${option.name}-file`
export const fileVariable = (variable: string): string => `${variable}_FILE`
/** How errors name an option; an alias is not part of it. */
export const label = (option: Option): string =>
  option.isArgument
    ? `'${option.name}'`
    : [`'--${option.name}'`, ...(option.short ? [`'-${option.short}'`] : [])].join(' / ')

function tokenize(
  spec: CommandSpec,
  argv: readonly string[],
  usage: string,
): { typed: Typed[]; eager: Eager | undefined; extra: string[] } {
  const forms = new Map<string, { option: Option; fromFile: boolean }>()
  for (const option of Object.values(spec.options)) {
    if (option.isArgument) continue
    for (const form of optionForms(option)) forms.set(form, { option, fromFile: false })
    if (option.secret) forms.set(fileForm(option), { option, fromFile: true })
  }
  const typed: Typed[] = []
  const extra: string[] = []
  let eager: Eager | undefined
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]!
    if (word === '--') {
      extra.push(...argv.slice(i + 1))
      break
    }
    if (!word.startsWith('-') || word === '-') {
      extra.push(word)
      continue
    }
    const { form, value } = splitWord(word)
    if (form === '--help' || form === '--version') {
      if (value !== undefined) throw new UsageError(`Option '${form}' does not take a value.`)
      eager ??= form === '--help' ? 'help' : 'version'
      continue
    }
    const known = forms.get(form)
    if (!known)
      throw new UsageError(
        `No such option: ${form}${form.startsWith('--') ? suggestion(form, longForms(forms)) : ''}`,
        usage,
      )
    if (known.option.flag) {
      if (value !== undefined) throw new UsageError(`Option '${form}' does not take a value.`)
      typed.push({ ...known, form, text: 'true' })
      continue
    }
    const text = value ?? argv[++i]
    if (text === undefined) throw new UsageError(`Option '${form}' requires an argument.`)
    typed.push({ ...known, form, text })
  }
  return { typed, eager, extra }
}

const longForms = (forms: ReadonlyMap<string, unknown>): string[] =>
  ['--help', '--version', ...forms.keys()].filter(form => form.startsWith('--'))

/** `--port=1` and `-P1`; a short option takes everything behind its letter, an equals sign too. */
function splitWord(word: string): { form: string; value: string | undefined } {
  if (!word.startsWith('--')) return { form: word.slice(0, 2), value: word.length > 2 ? word.slice(2) : undefined }
  const equals = word.indexOf('=')
  return equals < 0 ? { form: word, value: undefined } : { form: word.slice(0, equals), value: word.slice(equals + 1) }
}

/** Finds the value of an option: typed, from the environment, its default. */
class Reader {
  readonly #typed: readonly Typed[]
  readonly #environment: Environment
  readonly #usage: string
  constructor(typed: readonly Typed[], environment: Environment, usage: string) {
    this.#typed = typed
    this.#environment = environment
    this.#usage = usage
  }

  /** `services`: those that run, undefined for all. */
  read(option: Option, services?: readonly string[]): unknown {
    const typed = this.#typed.filter(t => t.option === option)
    if (typed.length > 0) return this.#fromTyped(option, typed)
    for (const variable of option.env ?? []) {
      const text = this.#environment[variable]
      if (isSet(option, text))
        return this.#judge(option, label(option), option.retired, () =>
          parse(option, option.repeatable ? words(text) : [text]),
        )
      const file = option.secret ? this.#environment[fileVariable(variable)] : undefined
      if (file)
        return this.#judge(option, `'${fileForm(option)}'`, false, () => parse(option, readSecret(option, file), file))
    }
    for (const variable of option.sharedEnv ?? []) {
      const text = this.#environment[variable]
      if (text) return this.#judge(option, label(option), true, () => parse(option, [text]))
    }
    const { required } = option
    const needed = required === true || (required && (!services || required.some(s => services.includes(s))))
    if (needed)
      throw new UsageError(`Missing ${option.isArgument ? 'argument' : 'option'} ${label(option)}.`, this.#usage)
    return option.default
  }

  #fromTyped(option: Option, typed: readonly Typed[]): unknown {
    const used = option.repeatable ? typed : typed.slice(-1)
    const name = used.every(t => t.fromFile) ? `'${fileForm(option)}'` : label(option)
    return this.#judge(option, name, false, () =>
      parse(
        option,
        used.flatMap(t => (t.fromFile ? readSecret(option, t.text) : [t.text])),
        used.at(-1)!.fromFile ? used.at(-1)!.text : undefined,
      ),
    )
  }

  #judge(option: Option, name: string, lenient: boolean | undefined, value: () => unknown): unknown {
    try {
      return value()
    } catch (error) {
      if (!(error instanceof Error) || error instanceof TypeError) throw error
      if (lenient) return option.default
      throw new UsageError(`Invalid value for ${name}: ${error.message}`, this.#usage)
    }
  }
}

/** Whether a variable counts: an empty one does not, nor a blank one of a repeatable option. */
function isSet(option: Option, text: string | undefined): text is string {
  return text !== undefined && text !== '' && !(option.repeatable && words(text).length === 0)
}

function parse(option: Option, texts: readonly string[], file?: string): unknown {
  if (option.flag) return BOOL.parse(texts.at(-1)!)
  return option.type.parseAll ? option.type.parseAll(texts) : option.type.parse(texts.at(-1)!, file)
}

/** The secret in a file, without its line end; one value a line for a repeatable option. */
function readSecret(option: Option, path: string): string[] {
  const lines = readFileSync(FILE.parse(path), 'utf8').trimEnd().split(/\r?\n/)
  if (lines.length === 1 && lines[0] === '') throw new Error(`File '${path}' is empty.`)
  return option.repeatable ? lines.filter(line => line.trim() !== '') : [lines.join('\n')]
}
