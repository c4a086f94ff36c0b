/** The release that runs. Read when it is asked for at a start: later the file may be that of another release. */
import { readFileSync } from 'node:fs'

export function serverVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  return version
}
