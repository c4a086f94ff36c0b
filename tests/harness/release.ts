/** Another release: the sources of a commit of this repository in a folder of their own, with the packages that it asks for. */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readlink, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Program } from './launch.ts'

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url))
const run = promisify(execFile)
const git = async (...argv: string[]): Promise<string> => (await run('git', ['-C', REPOSITORY, ...argv])).stdout.trim()

export type Release = { readonly commit: string; readonly program: Program; remove(): Promise<void> }

/** The last release: `PREVIOUS`, the newest tag, or the first commit whose services speak the form of ours. */
export async function previousCommit(): Promise<string> {
  const given = process.env['PREVIOUS']
  if (given) return await git('rev-parse', '--short', given)
  const tag = await git('describe', '--tags', '--abbrev=0', 'HEAD^').catch(() => '')
  if (tag) return tag
  const line = '^(export )?const SPOKEN = 1$'
  const speaking = await git('log', '-E', '-G', line, '--format=%h', '--', 'libs/shared/src/bus')
  return speaking.split('\n').at(-1)!
}

export async function checkOut(commit: string): Promise<Release> {
  const folder = await mkdtemp(join(tmpdir(), 'parsec-release-'))
  await run('sh', ['-c', 'git -C "$1" archive "$2" | tar -x -C "$3"', 'sh', REPOSITORY, commit, folder])
  if (await asksForOurs(commit)) await linkPackages(join(folder, 'node_modules'))
  else await run('npm', ['ci', '--omit=dev', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: folder })
  const program = ['--conditions=development', join(folder, 'cli/bin/parsec.js')]
  return { commit, program, remove: () => rm(folder, { recursive: true, force: true }) }
}

const asksForOurs = (commit: string): Promise<boolean> =>
  git('diff', '--quiet', commit, '--', 'package-lock.json').then(
    () => true,
    () => false,
  )

async function linkPackages(packages: string): Promise<void> {
  await mkdir(packages)
  for (const name of await readdir(join(REPOSITORY, 'node_modules'))) {
    const ours = join(REPOSITORY, 'node_modules', name)
    if (name !== '@parsec') await symlink(ours, join(packages, name))
    else await linkWorkspaces(ours, join(packages, name))
  }
}
/** Relative links lead to the workspaces beside them. */
async function linkWorkspaces(from: string, to: string): Promise<void> {
  await mkdir(to)
  for (const name of await readdir(from)) await symlink(await readlink(join(from, name)), join(to, name))
}
