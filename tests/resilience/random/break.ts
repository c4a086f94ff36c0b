/**
 * Makes a server that is broken in one place, to see that the checker notices: loaded by `--import`, it changes the text of
 * one source file as it is loaded. `BREAK` names the change.
 */
import { registerHooks } from 'node:module'

export const BREAKS = {
  'everybody may write': {
    file: 'services/metadata/src/realm/gates.ts',
    from: "role !== null && role !== 'READER'",
    to: 'role !== undefined',
    noticed: /after the role/,
  },
  // One that is not even heard is missed by its number, and ends connections.
  'some events are not told': {
    file: 'services/gateway/src/events/session.ts',
    from: 'if (give(session, event)) count',
    to: 'if (Math.random() > 0.05 && give(session, event)) count',
    noticed: /was told|never told/,
  },
  'some blocks are not stored': {
    file: 'services/blockstore/src/stores/file.ts',
    from: 'await this.#move(incoming, path)',
    to: "if (path.endsWith('.parsec-node') || Math.random() < 0.3) await this.#move(incoming, path)",
    noticed: /block lost/,
  },
}

const chosen = BREAKS[process.env['BREAK'] as keyof typeof BREAKS]
if (chosen)
  registerHooks({
    load(url, context, next) {
      const loaded = next(url, context)
      if (!url.endsWith(chosen.file)) return loaded
      const source = String(loaded.source)
      if (!source.includes(chosen.from)) throw new Error(`${chosen.file} has no \`${chosen.from}\` to break`)
      return { ...loaded, source: source.replace(chosen.from, chosen.to) }
    },
  })
