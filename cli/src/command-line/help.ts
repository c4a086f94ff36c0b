/** Help texts of commands and of groups of commands, made from the option table. */

import { GROUPS, type Option, type OptionTable } from './option.ts'
import { fileForm, synopsis } from './read.ts'

/** Columns of a line, and where descriptions start. */
const WIDTH = 100
const INDENT = 32

export type CommandHelp = {
  readonly path: string
  readonly summary: string
  readonly description: string
  readonly examples: readonly string[]
}

export function commandHelp({ path, description, examples }: CommandHelp, options: OptionTable): string {
  const shown = Object.values(options).filter(o => !o.retired)
  const sections = GROUPS.map(group => ({
    group,
    rows: shown.filter(o => o.group === group).flatMap(optionRows),
  })).filter(s => s.rows.length > 0)
  sections.at(-1)!.rows.push(...COMMON_ROWS)
  return [
    `Usage: ${path} ${synopsis(options)}\n`,
    `${paragraph(description, 2)}\n`,
    ...sections.map(s => `${s.group}:\n${columns(s.rows)}`),
    'Every option may also come from its environment variable; what is typed wins. The words of\nPARSEC_CMD_ARGS are appended to what is typed.\n',
    `Examples:\n${examples.map(example => `  ${example}\n`).join('')}`,
  ].join('\n')
}

/** Help of a group: `parsec` itself or `parsec backend`. */
export function groupHelp(
  path: string,
  description: string,
  commands: readonly { name: string; summary: string }[],
  examples: readonly string[],
): string {
  return [
    `Usage: ${path} [OPTIONS] COMMAND [ARGS]...\n`,
    `${paragraph(description, 2)}\n`,
    `Options:\n${columns(COMMON_ROWS)}`,
    `Commands:\n${columns(commands.map(c => [c.name, c.summary] as const))}`,
    `Examples:\n${examples.map(example => `  ${example}\n`).join('')}`,
  ].join('\n')
}

const COMMON_ROWS: (readonly [string, string])[] = [
  ['--version', 'Show the version and exit.'],
  ['--help', 'Show this message and exit.'],
]

/** Forms of an option as in `-P, --port INTEGER`. */
export function optionSyntax(option: Option): string {
  if (option.isArgument) return option.name
  const long = [`--${option.name}`, ...(option.aliases ?? []).map(alias => `--${alias}`)].join(', ')
  return `${option.short ? `-${option.short}, ` : ''}${long}${option.flag ? '' : ` ${option.type.metavar}`}`
}

/** The default as people read it; empty when there is none to tell. */
export function defaultText(option: Option): string {
  if (option.defaultText) return option.defaultText
  if (option.default === undefined || option.flag) return ''
  return String(option.default)
}

function optionRows(option: Option): (readonly [string, string])[] {
  const notes = [
    ...(option.required && !option.isArgument ? ['required'] : []),
    ...(defaultText(option) ? [`default: ${defaultText(option)}`] : []),
    ...(option.env?.length ? [`env: ${option.env.join(', ')}`] : []),
  ]
  return [
    [optionSyntax(option), `${option.text}${notes.length > 0 ? ` [${notes.join('; ')}]` : ''}`],
    ...(option.secret
      ? ([[`${fileForm(option)} FILE`, `Read it from a file. [env: ${option.env![0]}_FILE]`]] as const)
      : []),
  ]
}

function columns(rows: readonly (readonly [string, string])[]): string {
  return rows
    .flatMap(([left, right]) => {
      const text = wrap(right, WIDTH - INDENT).map(line => ' '.repeat(INDENT) + line)
      const head = `  ${left}`
      if (head.length > INDENT - 2) return [head, ...text]
      text[0] = head.padEnd(INDENT) + text[0]!.slice(INDENT)
      return text
    })
    .map(line => `${line}\n`)
    .join('')
}

const paragraph = (text: string, indent: number): string =>
  text
    .split('\n')
    .flatMap(line => (line === '' ? [''] : wrap(line, WIDTH - indent).map(part => ' '.repeat(indent) + part)))
    .join('\n')

/** Breaks at blanks; a word longer than the width gets a line of its own. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(word)
  }
  return lines
}
