/**
 * Makes a server of the release after this one, as far as others notice: loaded by `--import`, it changes the text of
 * source files as they are loaded. What it says has more than this release knows, and it understands the next form.
 */
import { registerHooks } from 'node:module'

const CHANGES: readonly (readonly [file: string, from: string, to: string])[] = [
  ['bus/envelope.ts', 'UNDERSTOOD: readonly number[] = [1]', 'UNDERSTOOD: readonly number[] = [1, 2]'],
  ['bus/rpc.ts', 'serviceShare(timeoutMs), request]', "serviceShare(timeoutMs), { ...request, more: 1 }, 'more']"],
  ['storage/outbox.ts', 'recipients, fields, ...keys }', 'recipients, fields, ...keys, more: 1 }'],
  [
    'storage/neighbours.ts',
    'database_id: this.#database_id, asks }',
    'database_id: this.#database_id, asks, more: 1 }',
  ],
]
/** … and the release after that speaks it. */
const SPEAKS_NEXT = ['bus/envelope.ts', 'SPOKEN = 1', 'SPOKEN = 2'] as const

const chosen = process.env['NEXT_RELEASE'] === 'speaks' ? [...CHANGES, SPEAKS_NEXT] : CHANGES
registerHooks({
  load(url, context, next) {
    const loaded = next(url, context)
    const changes = chosen.filter(([file]) => url.endsWith(`/src/${file}`))
    if (changes.length === 0) return loaded
    let source = String(loaded.source)
    for (const [file, from, to] of changes) {
      if (!source.includes(from)) throw new Error(`${file} has no \`${from}\` to change`)
      source = source.replace(from, () => to)
    }
    return { ...loaded, source }
  },
})
