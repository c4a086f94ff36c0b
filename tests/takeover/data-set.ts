/** Databases that released servers of the original filled, what their devices saw of them, and the command under test (spec 07). */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'
import { createDatabase, type TestDatabase } from '../harness/backing.ts'
import { NODE_ARGV } from '../harness/launch.ts'
import type { Answers, Keys } from './snapshot.ts'

export const RELEASES = ['1.15.2', '2.11.1', '2.17.0'] as const
export type Release = (typeof RELEASES)[number]

const file = (name: string): string => fileURLToPath(new URL(`data/${name}`, import.meta.url))
const read = (name: string): unknown => JSON.parse(gunzipSync(readFileSync(file(name))).toString())
const run = promisify(execFile)

export const keysOf = (release: Release): Keys => read(`v${release}.keys.json.gz`) as Keys
export const expectedOf = (release: Release): Answers => read(`v${release}.expected.json.gz`) as Answers

/** The database as the released server left it. */
export async function restore(release: Release): Promise<TestDatabase> {
  const database = await createDatabase()
  await run('pg_restore', ['--no-owner', '-d', database.url, file(`v${release}.dump`)])
  return database
}

/** An empty database of this server. */
export async function migrated(): Promise<TestDatabase> {
  const database = await createDatabase()
  const { code, output } = await parsec('migrate', `--db=${database.url}`)
  if (code !== 0) throw new Error(output)
  return database
}

/** `parsec backend …`: exit code and all output. */
export async function parsec(...argv: string[]): Promise<{ code: number; output: string }> {
  const env = { PATH: process.env['PATH'], HOME: '/nonexistent', LC_ALL: 'C.UTF-8' }
  try {
    const { stdout, stderr } = await run(process.execPath, [...NODE_ARGV, 'backend', ...argv], {
      env,
      maxBuffer: 64 * 1024 * 1024,
    })
    return { code: 0, output: stdout + stderr }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, output: stdout + stderr }
  }
}

/** Everything in a database as SQL text, for "nothing was changed". */
export async function dumpOf(database: TestDatabase): Promise<string> {
  const { stdout } = await run('pg_dump', ['--no-owner', '--restrict-key=same', database.url], {
    maxBuffer: 256 * 1024 * 1024,
  })
  return stdout
}
