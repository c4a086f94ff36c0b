/**
 * Whether objects are what Kubernetes takes: the models check values against the schemas of its API, and the compiler
 * finds the fields that it does not know, which the models let pass.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Resource } from './chart.ts'

const NODE_MODULES = fileURLToPath(new URL('../../node_modules', import.meta.url))
const COMPILER = ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--types', '']

type Model = new (data: object) => { validate(): void }

/** Throws an `AssertionError` that names every fault. */
export async function assertValid(resources: readonly Resource[]): Promise<void> {
  for (const resource of resources) {
    const { [resource.kind]: model } = (await import(modelOf(resource))) as { [kind: string]: Model }
    const instance = new model!(resource)
    assert.doesNotThrow(() => instance.validate(), `${resource.kind} ${resource.metadata.name}`)
  }
  assert.equal(await compile(resources), '')
}

/** Whose models are in packages of their own. */
const OTHERS: { readonly [group: string]: string } = {
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator',
  'gateway.networking.k8s.io': '@kubernetes-models/gateway-api',
}
const modelOf = ({ apiVersion, kind }: Resource): string =>
  `${OTHERS[apiVersion.split('/')[0]!] ?? 'kubernetes-models'}/${apiVersion}/${kind}`

/** What the compiler says to the objects as literals of their types. */
async function compile(resources: readonly Resource[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'parsec-chart-'))
  try {
    await symlink(NODE_MODULES, join(folder, 'node_modules'))
    const statements = resources.map((resource, i) => {
      const type = `import('${modelOf(resource)}').I${resource.kind}`
      return `export const r${i}: ${type} = ${JSON.stringify(resource, null, 1)}\n`
    })
    await writeFile(join(folder, 'resources.mts'), statements.join(''))
    const argv = [...COMPILER, 'resources.mts']
    await promisify(execFile)(join(NODE_MODULES, '.bin/tsc'), argv, { cwd: folder })
    return ''
  } catch (error) {
    return (error as { stdout?: string }).stdout ?? String(error)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
