/** The picture of the rooms in docs/architecture.md, made from the imports of the sources so that it cannot lie. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { SERVICE_NAMES } from '../libs/shared/src/protocol/command.ts'

const ROOT = path.join(import.meta.dirname, '..')
const PAGE = path.join(ROOT, 'docs/architecture.md')
const START = '<!-- rooms: made by `npm run docs` from the imports -->'
const END = '<!-- /rooms -->'
const DRAWN = [...SERVICE_NAMES, 'cli']

/** `docs/architecture.md` with the picture as the sources are now. */
export function architecturePage() {
  const page = readFileSync(PAGE, 'utf8')
  const [before, rest] = page.split(START)
  const after = rest.slice(rest.indexOf(END))
  return `${before}${START}\n\n${picture()}\n${after}`
}

function picture() {
  const edges = new Map()
  const rooms = new Map(DRAWN.map(name => [name, new Set()]))
  for (const [file, targets] of imports()) {
    const from = roomOf(file)
    if (!from) continue
    rooms.get(from.part)?.add(from.room)
    for (const to of targets.map(roomOf)) {
      if (!to || (to.part === from.part && to.room === from.room)) continue
      // What everything rests on would only blacken the picture.
      if (to.part === 'shared' || to.room === 'storage' || to.room === '' || from.room === '') continue
      edges.set(`${id(from)} --> ${id(to)}`, true)
    }
  }
  const boxes = DRAWN.map(part => {
    const names = [...rooms.get(part)].filter(room => room !== '').sort()
    const inside = names.map(room => `    ${id({ part, room })}["${room}"]`)
    return [`  subgraph ${part}`, ...(inside.length > 0 ? inside : [`    ${part}_main["main"]`]), '  end'].join('\n')
  })
  return ['```mermaid', 'flowchart LR', ...boxes, ...[...edges.keys()].sort().map(edge => `  ${edge}`), '```'].join(
    '\n',
  )
}

const id = ({ part, room }) => `${part}_${room.replaceAll('-', '_')}`

/** `{part: 'metadata', room: 'realm'}`; the room is empty for files beside the rooms. */
function roomOf(file) {
  const match = /^(?:services\/(\w+)|libs\/(shared)|(cli))\/src\/(?:([\w-]+)\/)?/.exec(file)
  return match && { part: match[1] ?? match[2] ?? match[3], room: match[4] ?? '' }
}

function* imports() {
  const files = execFileSync('git', ['ls-files', 'libs', 'services', 'cli'], { cwd: ROOT, encoding: 'utf8' })
  for (const file of files.split('\n').filter(f => /\/src\/.*(?<!\.test|\.d)\.ts$/.test(f))) {
    const text = readFileSync(path.join(ROOT, file), 'utf8')
    const targets = [...text.matchAll(/(?:from|import\() ?'([^']+)'/g)].map(([, specifier]) => resolve(file, specifier))
    yield [file, targets.filter(target => target !== undefined)]
  }
}
function resolve(file, specifier) {
  if (specifier.startsWith('.')) return path.posix.join(path.posix.dirname(file), specifier)
  const own = /^@parsec\/(\w+)\/(.+)$/.exec(specifier)
  if (!own) return undefined
  const folder = own[1] === 'shared' ? 'libs/shared' : own[1] === 'cli' ? 'cli' : `services/${own[1]}`
  return `${folder}/src/${own[2]}.ts`
}
