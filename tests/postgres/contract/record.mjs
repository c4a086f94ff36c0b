/** Loaded by `--import` into a server: each statement that it prepares goes into the file `STATEMENTS`, one JSON text a line. */
import { appendFileSync } from 'node:fs'
import { registerHooks } from 'node:module'

const FROM = 'statements.set(strings, statement)'
const file = process.env.STATEMENTS
globalThis.recordStatement = text => appendFileSync(file, `${JSON.stringify(text)}\n`)
registerHooks({
  load(url, context, next) {
    const loaded = next(url, context)
    if (!url.endsWith('/postgres/sql.ts')) return loaded
    const source = String(loaded.source)
    if (!source.includes(FROM)) throw new Error(`sql.ts has no \`${FROM}\``)
    return { ...loaded, source: source.replace(FROM, `${FROM}\n    globalThis.recordStatement(statement.text)`) }
  },
})
