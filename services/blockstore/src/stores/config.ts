/** The grammar of `--blockstore` (spec 06 §4). Error texts are part of the command line and never show a value's secrets. */
import { resolve } from 'node:path'
import type { NodeConfig, StoreConfig } from '@parsec/shared/config'

const RAID_MODES = ['RAID0', 'RAID1', 'RAID5'] as const
type RaidMode = (typeof RAID_MODES)[number]

const S3_FORM = 'Invalid S3 config, must be `s3:[<endpoint_url>]:<region>:<bucket>:<key>:<secret>`'
const FILE_FORM = 'Invalid FILE config, must be `file:<directory>`'
const SWIFT_FORM = 'Invalid SWIFT config, must be `swift:<auth_url>:<tenant>:<container>:<user>:<password>`'

/** Parses the values of `--blockstore`, in their order. Throws `Error` with the text for the user (spec 06 §4.2). */
export function parseStores(values: readonly string[]): StoreConfig {
  const entries = values.map(parseEntry)
  const modes = [...new Set(entries.map(entry => entry.mode ?? typeOf(entry.config)))]
  const [first] = entries
  if (!first) throw new Error('Missing block store config')
  if (entries.some(entry => entry.mode !== first.mode)) {
    throw new Error(`Multiple blockstore config with different types: ${modes.join('/')}`)
  }
  if (first.mode === null) {
    if (entries.length > 1) throw new Error('Multiple blockstore configs only available for RAID mode')
    return parseNode(first.config)
  }
  const nodes = entries.map((_, index) => {
    const [found, another] = entries.filter(entry => entry.index === BigInt(index))
    if (!found) throw new Error(`Missing node index \`${index}\` in RAID config`)
    if (another) throw new Error(`Multiple configuration for node index \`${index}\` in RAID config`)
    return parseNode(found.config)
  })
  if (first.mode !== 'RAID0') refuseSharedKeys(nodes)
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
function parseNode(value: string): NodeConfig {
  if (value.toUpperCase() === 'MOCKED') return { type: 'MOCKED' }
  if (value.toUpperCase() === 'POSTGRESQL') return { type: 'POSTGRESQL' }
  const [type, ...fields] = rejoinScheme(splitEscaped(value))
  switch (type!.toUpperCase()) {
    case 'S3': {
      if (fields.length !== 5) throw new Error(S3_FORM)
      const [endpoint, region, bucket, key, secret] = fields as Five
      return { type: 'S3', endpoint: endpoint === '' ? null : withScheme(endpoint), region, bucket, key, secret }
    }
    case 'SWIFT': {
      if (fields.length !== 5) throw new Error(SWIFT_FORM)
      const [authUrl, tenant, container, user, password] = fields as Five
      return { type: 'SWIFT', authUrl: authUrl === '' ? '' : withScheme(authUrl), tenant, container, user, password }
    }
    case 'FILE': {
      const [directory = ''] = fields
      if (fields.length !== 1 || directory === '') throw new Error(FILE_FORM)
      return { type: 'FILE', directory }
    }
    default:
      throw new Error(`Invalid blockstore type \`${type}\``)
  }
}

type Five = [string, string, string, string, string]

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

const withScheme = (url: string): string => (/^https?:\/\//.test(url) ? url : `https://${url}`)

/** What an error may show of a value: its type. */
const typeOf = (value: string): string => splitEscaped(value)[0]!.toUpperCase()

/** Two nodes on one key space overwrite each other in RAID5 and are one copy in RAID1. */
function refuseSharedKeys(nodes: readonly NodeConfig[]): void {
  const seen = new Map<string, number>()
  for (const [index, node] of nodes.entries()) {
    const space = keySpace(node)
    const other = space === null ? undefined : seen.get(space)
    if (other !== undefined)
      throw new Error(
        `Nodes \`${other}\` and \`${index}\` of the RAID config share one storage; give each a bucket, container or directory of its own`,
      )
    if (space !== null) seen.set(space, index)
  }
}

/** Equal for nodes that see the same objects, whatever their credentials; null: a storage of its own. */
function keySpace(node: NodeConfig): string | null {
  switch (node.type) {
    case 'MOCKED':
      return null
    case 'POSTGRESQL':
      return 'POSTGRESQL'
    case 'S3':
      return JSON.stringify(['S3', node.endpoint ?? node.region, node.bucket])
    case 'SWIFT':
      return JSON.stringify(['SWIFT', node.authUrl, node.tenant, node.container])
    case 'FILE':
      return JSON.stringify(['FILE', resolve(node.directory)])
  }
}
