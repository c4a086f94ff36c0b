/** The grammar of `--blockstore` (spec 06 §4). Error texts are part of the command line and never show a value's secrets. */
import { type Kind, kindOf, type NodeConfig, STORE_KINDS, type StoreConfig } from './registry.ts'

const RAID_MODES = ['RAID0', 'RAID1', 'RAID5'] as const
type RaidMode = (typeof RAID_MODES)[number]

/** Parses the values of `--blockstore`, in their order. Throws `Error` with the text for the user (spec 06 §4.2). */
export function parseStores(values: readonly string[], kinds = STORE_KINDS): StoreConfig {
  const entries = values.map(parseEntry)
  const modes = [...new Set(entries.map(entry => entry.mode ?? typeOf(entry.config)))]
  const [first] = entries
  if (!first) throw new Error('Missing block store config')
  if (entries.some(entry => entry.mode !== first.mode)) {
    throw new Error(`Multiple blockstore config with different types: ${modes.join('/')}`)
  }
  if (first.mode === null) {
    if (entries.length > 1) throw new Error('Multiple blockstore configs only available for RAID mode')
    return parseNode(first.config, kinds)
  }
  const nodes = entries.map((_, index) => {
    const [found, another] = entries.filter(entry => entry.index === BigInt(index))
    if (!found) throw new Error(`Missing node index \`${index}\` in RAID config`)
    if (another) throw new Error(`Multiple configuration for node index \`${index}\` in RAID config`)
    return parseNode(found.config, kinds)
  })
  if (first.mode !== 'RAID0') refuseSharedKeys(nodes, kinds)
  return { type: first.mode, nodes }
}

type Entry = { mode: RaidMode; index: bigint; config: string } | { mode: null; index: null; config: string }

/** The RAID prefix is split off without escapes. */
function parseEntry(value: string): Entry {
  const [, word, index, config] = /^([^:]*):([^:]*):(.*)$/s.exec(value) ?? []
  const mode = RAID_MODES.find(name => name === word?.toUpperCase())
  if (!mode) return { mode: null, index: null, config: value }
  if (!/^\s*[+-]?\d+(_\d+)*\s*$/.test(index!)) throw new Error(`Invalid node index \`${index}\` (must be integer)`)
  const digits = index!.replaceAll('_', '').trim()
  return {
    mode,
    index: digits.startsWith('-') ? -BigInt(digits.slice(1)) : BigInt(digits.replace('+', '')),
    config: config!,
  }
}

/** One back end. Throws `Error` with the text for the user (spec 06 §4.1). */
function parseNode(value: string, kinds: readonly Kind[]): NodeConfig {
  const word = kinds.find(({ form, type }) => form === type && value.toUpperCase() === type)
  const [type, ...fields] = word ? [word.type] : rejoinScheme(splitEscaped(value))
  const kind = word ?? kinds.find(kind => kind.type === type!.toUpperCase() && kind.form !== kind.type)
  if (!kind) throw new Error(`Invalid blockstore type \`${type}\``)
  const config = kind.parse(fields)
  if (!config) throw new Error(`Invalid ${kind.type} config, must be \`${kind.form}\``)
  return config
}

/** Splits on colons; `\:` and `\\` stand for the second character, any other backslash for itself. */
export function splitEscaped(text: string): string[] {
  const parts = ['']
  for (const [token] of text.matchAll(/\\[\\:]|./gsu)) {
    if (token === ':') parts.push('')
    else parts.push(parts.pop() + (/^\\[\\:]$/.test(token) ? token.slice(1) : token))
  }
  return parts
}

/** A doubled backslash before the colon of `http://`, as documents print it, reaches us as a part too many. */
function rejoinScheme(parts: string[]): string[] {
  const [type, scheme, rest, ...others] = parts
  const doubled = parts.length === 7 && /^https?\\$/.test(scheme!) && rest!.startsWith('//')
  return doubled ? [type!, `${scheme!.slice(0, -1)}:${rest}`, ...others] : parts
}

/** What an error may show of a value: its type. */
const typeOf = (value: string): string => splitEscaped(value)[0]!.toUpperCase()

/** Two nodes on one key space overwrite each other in RAID5 and are one copy in RAID1. */
function refuseSharedKeys(nodes: readonly NodeConfig[], kinds: readonly Kind[]): void {
  const seen = new Map<string, number>()
  for (const [index, node] of nodes.entries()) {
    const keySpace = kindOf(node, kinds).keySpace(node)
    if (!keySpace) continue
    const space = JSON.stringify([node.type, ...keySpace])
    const other = seen.get(space)
    if (other !== undefined)
      throw new Error(
        `Nodes \`${other}\` and \`${index}\` of the RAID config share one storage; give each a bucket, container or directory of its own`,
      )
    seen.set(space, index)
  }
}
