/**
 * A folder for the data of a trial server, which must not outlive it. A server that was killed leaves its folder behind,
 * so the next one removes it; whether a server lives is told by a socket on which it listens, not by its process id,
 * which another container that shares the temporary folder may know nothing of.
 */
import { lstatSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TRIAL_FOLDER_YOUNG_MS } from '@parsec/shared/deadlines'

const PREFIX = 'parsec-mocked-'
const LOCK = 'alive.sock'

export type TrialFolder = { readonly path: string; remove(): void }

/** Makes a folder that only this user may enter, and removes those of servers that live no more, if older than `youngMs`. */
export async function openTrialFolder(youngMs = TRIAL_FOLDER_YOUNG_MS): Promise<TrialFolder> {
  await removeAbandoned(youngMs)
  const path = mkdtempSync(join(tmpdir(), PREFIX))
  const lock = createServer(socket => socket.destroy())
  await new Promise<void>((resolve, reject) => lock.once('error', reject).listen(join(path, LOCK), resolve))
  lock.unref()
  return {
    path,
    remove: () => {
      lock.close()
      rmSync(path, { recursive: true, force: true })
    },
  }
}

async function removeAbandoned(youngMs: number): Promise<void> {
  const folders = readdirSync(tmpdir())
    .filter(name => name.startsWith(PREFIX))
    .map(name => join(tmpdir(), name))
  await Promise.all(
    folders
      .filter(folder => isOurs(folder, youngMs))
      .map(async folder => {
        if (!(await isAlive(folder))) rmSync(folder, { recursive: true, force: true })
      }),
  )
}

/** Of this user, and old enough to listen by now. */
function isOurs(folder: string, youngMs: number): boolean {
  const entry = lstatSync(folder, { throwIfNoEntry: false })
  const age = Date.now() - (entry?.birthtimeMs ?? Number.POSITIVE_INFINITY)
  return entry?.isDirectory() === true && entry.uid === process.getuid?.() && age >= youngMs
}

/** Whether somebody listens; only a clear no counts as one. */
const isAlive = (folder: string): Promise<boolean> =>
  new Promise(resolve => {
    const socket = connect(join(folder, LOCK))
    const answer = (alive: boolean) => {
      socket.destroy()
      resolve(alive)
    }
    socket.once('connect', () => answer(true))
    socket.once('error', ({ code }: NodeJS.ErrnoException) => answer(code !== 'ECONNREFUSED' && code !== 'ENOENT'))
  })
