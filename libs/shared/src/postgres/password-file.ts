/** Passwords from a file of libpq: one line a database, the first that fits counts. */
import { readFileSync, statSync } from 'node:fs'
import type { Host, Target } from './target.ts'

/** The password for a host. Undefined: none is known. */
export function passwordFor(target: Target, { host, port }: Host): string | undefined {
  const { password, passwordFile, database, user } = target
  if (password !== undefined || passwordFile === undefined) return password
  const text = readPrivate(passwordFile)
  const wanted = [host.startsWith('/') ? 'localhost' : host, String(port), database, user]
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith('#')) continue
    // Colons and backslashes within a field have a backslash before them.
    const fields = [...line.matchAll(/(?:^|:)((?:\\.|[^:\\])*)/g)].map(match => match[1]!)
    if (fields.length >= 5 && wanted.every((want, i) => fields[i] === '*' || unescaped(fields[i]!) === want))
      return unescaped(fields[4]!)
  }
  return undefined
}

/** Empty when there is no such file, or when others may read it, too: libpq does not use one like that either. */
function readPrivate(file: string): string {
  try {
    return statSync(file).mode & 0o077 ? '' : readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
const unescaped = (field: string): string => field.replace(/\\(.)/g, '$1')
