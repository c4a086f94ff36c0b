/** Scripts by which shells complete `parsec` commands, made of the table of commands. */
import type { Option, OptionTable } from './command-line/option.ts'
import { fileForm, optionForms } from './command-line/read.ts'

/** A command or a group, by the words behind `parsec`. */
export type Place = {
  /** What may stand next, with what it is for. */
  readonly words: readonly (readonly [name: string, summary: string])[]
  readonly options: readonly Form[]
}
type Form = {
  readonly form: string
  readonly text: string
  readonly takes: 'nothing' | 'file' | 'text'
  /** All that it may be, where that is known. */
  readonly choices: readonly string[]
}
export type Places = ReadonlyMap<string, Place>

/** What `--name` and `-n` of a command take. */
export function formsOf(options: OptionTable): Form[] {
  const shown = Object.values(options).filter(option => !option.retired && !option.isArgument)
  return [...shown.flatMap(formsOfOption), ...['--help', '--version'].map(bare)]
}
/** What an argument may be, where that is known. */
export const wordsOf = (options: OptionTable): (readonly [name: string, summary: string])[] =>
  Object.values(options)
    .filter(option => option.isArgument)
    .flatMap(option => choicesOf(option).map(choice => [choice, ''] as const))
const choicesOf = ({ type }: Option): string[] => /^\[(.*)\]$/.exec(type.metavar)?.[1]?.split('|') ?? []
const bare = (form: string): Form => ({ form, text: '', takes: 'nothing', choices: [] })
function formsOfOption(option: Option): Form[] {
  const { metavar } = option.type
  const takes = option.flag ? 'nothing' : /FILE|PATH|DIR/.test(metavar) ? 'file' : 'text'
  const choices = choicesOf(option)
  const [text] = option.text.split(/(?<=\.) /)
  const own = optionForms(option).map((form): Form => ({ form, text: text!, takes, choices }))
  return option.secret ? [...own, { form: fileForm(option), text: text!, takes: 'file', choices: [] }] : own
}

const list = (words: readonly string[]): string => words.join(' ')
const namesOf = ({ words, options }: Place): string[] => [
  ...words.map(([name]) => name),
  ...options.map(({ form }) => form),
]
const deeper = (places: Places): string[] => [...places.keys()].filter(path => path !== '')

export const bashScript = (places: Places): string => `# parsec completion bash > /etc/bash_completion.d/parsec
_parsec() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} place='' word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$place $word" in
      ${deeper(places)
        .map(path => `' ${path}'`)
        .join('|')}) place="$place $word" ;;
    esac
  done
  case "$place:$prev" in
${[...places].flatMap(([path, { options }]) => options.map(option => bashValue(path, option))).join('')}  esac
  case "$place" in
${[...places].map(([path, place]) => `    '${path && ` ${path}`}') COMPREPLY=($(compgen -W '${list(namesOf(place))}' -- "$cur")) ;;\n`).join('')}  esac
}
complete -F _parsec parsec
`
function bashValue(path: string, { form, takes, choices }: Form): string {
  if (takes === 'nothing') return ''
  const what = choices.length > 0 ? `-W '${list(choices)}'` : takes === 'file' ? '-f' : "-W ''"
  return `    '${path && ` ${path}`}:${form}') COMPREPLY=($(compgen ${what} -- "$cur")); return ;;\n`
}

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

export const zshScript = (places: Places): string => `#compdef parsec
# parsec completion zsh > "\${fpath[1]}/_parsec"
_parsec() {
  local place='' word prev=\${words[CURRENT-1]}
  for word in "\${words[2,CURRENT-1]}"; do
    case "$place $word" in
      ${deeper(places)
        .map(path => quoted(` ${path}`))
        .join('|')}) place="$place $word" ;;
    esac
  done
  local -a found
  case "$place:$prev" in
${[...places].flatMap(([path, { options }]) => options.map(option => zshValue(path, option))).join('')}  esac
  case "$place" in
${[...places].map(([path, place]) => `    ${quoted(path && ` ${path}`)}) found=(${describedFor(place).join(' ')}) ;;\n`).join('')}  esac
  _describe parsec found
}
compdef _parsec parsec
`
const describedFor = ({ words, options }: Place): string[] =>
  [...words, ...options.map(({ form, text }) => [form, text] as const)].map(([name, text]) =>
    quoted(`${name}:${text.replaceAll(':', '\\:')}`),
  )
function zshValue(path: string, { form, takes, choices }: Form): string {
  if (takes === 'nothing') return ''
  const what = choices.length > 0 ? `compadd ${list(choices)}` : takes === 'file' ? '_files' : "_message 'value'"
  return `    ${quoted(`${path && ` ${path}`}:${form}`)}) ${what}; return ;;\n`
}

/** Words that are not part of the tree, as values and arguments, do not lead away from a place. */
export const fishScript = (places: Places): string => `# parsec completion fish > ~/.config/fish/completions/parsec.fish
function __parsec_place
  set -l place
  for word in (commandline -opc)[2..-1]
    if contains -- "$place $word" ${deeper(places)
      .map(path => quoted(` ${path}`))
      .join(' ')}
      set place "$place $word"
    end
  end
  test "$place" = "$argv[1]"
end
complete -c parsec -f
${[...places].flatMap(([path, place]) => fishLines(path, place)).join('')}`
function fishLines(path: string, { words, options }: Place): string[] {
  const at = `complete -c parsec -n ${quoted(`__parsec_place ${quoted(path && ` ${path}`)}`)}`
  return [
    ...words.map(([name, summary]) => `${at} -a ${name} -d ${quoted(summary)}\n`),
    ...options.map(({ form, text, takes, choices }) => {
      const name = form.startsWith('--') ? `-l ${form.slice(2)}` : `-s ${form.slice(1)}`
      const value = takes === 'nothing' ? '' : takes === 'file' ? ' -r -F' : ' -x'
      return `${at} ${name}${value}${choices.length > 0 ? ` -a ${quoted(list(choices))}` : ''} -d ${quoted(text)}\n`
    }),
  ]
}
