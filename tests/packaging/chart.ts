/** The Helm chart, rendered, and the files that are made of it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse, parseAllDocuments, stringify } from 'yaml'
import { tool } from './helm.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
export const CHART = join(ROOT, 'k8s/parsec')
const MANIFESTS = 'k8s/manifests'
const README = 'k8s/parsec/README.md'
const VALUES = 'k8s/parsec/values.yaml'
const SCHEMA = 'k8s/parsec/values.schema.json'
/** As Kubernetes reads YAML: `off` is a boolean there. */
const YAML = { version: '1.1' } as const
/** Variables that the chart sets by itself. */
export const OWN = ['PARSEC_SERVICES', 'PARSEC_PORT', 'PARSEC_MONITOR_PORT', 'PARSEC_DRAIN_SECONDS']

export type Metadata = {
  name: string
  labels?: { [name: string]: string }
  annotations?: { [name: string]: string }
}
/** Any object of Kubernetes; `ofKind` says more. */
export type Resource = { apiVersion: string; kind: string; metadata: Metadata; [field: string]: unknown }
/** A model of a kind, as `Deployment`. */
type Kind<T> = { is(value: unknown): value is T }

export const ofKind = <T>(resources: readonly Resource[], kind: Kind<T>): (Resource & T)[] =>
  resources.filter(resource => kind.is(resource)) as (Resource & T)[]

export const valueFiles = (): string[] => readdirSync(join(CHART, 'ci')).sort()
/** Of a name in `ci/`; a whole path stays. */
export const valueFile = (name: string): string => resolve(CHART, 'ci', name)

export const readYaml = (file: string): unknown => parse(readFileSync(join(ROOT, file), 'utf8'))
export const resourcesOf = (text: string): Resource[] =>
  parseAllDocuments(text, YAML).flatMap(document => (document.toJS() as Resource | null) ?? [])

/** What a release installs. `settings` are further values, path → value. */
export async function render(values: string, settings: { readonly [path: string]: unknown } = {}): Promise<Resource[]> {
  const more = Object.entries(settings).flatMap(([path, value]) => ['--set-json', `${path}=${JSON.stringify(value)}`])
  const argv = ['template', 'parsec', CHART, '--namespace', 'drive', '--values', valueFile(values), ...more]
  return resourcesOf(await tool('helm', argv))
}

/** The files that `npm run k8s` writes: path from the root of the repository → content. */
export async function generatedFiles(): Promise<Map<string, string>> {
  return new Map([...(await manifests()), [README, readme()], [SCHEMA, schema()], ...monitoring()])
}

/** Rules and dashboards are kept for all kinds of installations; a chart cannot reach files beside it. */
function monitoring(): [string, string][] {
  const folder = join(ROOT, 'deploy/monitoring')
  const files = existsSync(folder) ? readdirSync(folder) : []
  return files
    .map(name => [name, readFileSync(join(folder, name), 'utf8')] as const)
    .filter(([name, content]) => name.endsWith('.json') || (/\.ya?ml$/.test(name) && /^groups:/m.test(content)))
    .map(([name, content]) => [`k8s/parsec/monitoring/${name.replace(/\.yml$/, '.yaml')}`, content])
}

// Plain manifests

/** Helm's own, or stale once an overlay changes the configuration. */
const isOfHelm = (name: string): boolean =>
  /^helm\.sh\/|^checksum\//.test(name) || name === 'app.kubernetes.io/managed-by'

/** A file per component. ConfigMaps become generators, so that a change of them restarts the pods. */
async function manifests(): Promise<Map<string, string>> {
  const files = new Map<string, string>()
  const components = new Map<string, Resource[]>()
  const generators: object[] = []
  for (const resource of await render('manifests-values.yaml')) {
    if (resource.metadata.annotations?.['helm.sh/hook'] === 'test') continue
    if (resource.kind === 'ConfigMap') {
      const { name } = resource.metadata
      const data = resource.data as { [key: string]: string }
      generators.push({ name, ...generated(files, data) })
    } else {
      const component = resource.metadata.labels!['app.kubernetes.io/component']!
      components.set(component, [...(components.get(component) ?? []), withoutHelm(resource)])
    }
  }
  for (const [component, resources] of components) {
    files.set(
      `${component}.yaml`,
      resources.map(resource => stringify(resource, { ...YAML, lineWidth: 0 })).join('---\n'),
    )
  }
  const kustomization = {
    apiVersion: 'kustomize.config.k8s.io/v1beta1',
    kind: 'Kustomization',
    resources: [...components.keys()].sort().map(component => `${component}.yaml`),
    configMapGenerator: generators,
  }
  files.set('kustomization.yaml', stringify(kustomization, YAML))
  const note = '# Made of the chart by `npm run k8s`; see docs/kubernetes.md.\n'
  return new Map([...files].map(([name, content]) => [`${MANIFESTS}/${name}`, note + content]))
}

/** Writes the data of a ConfigMap as files; returns the generator's fields that name them. */
function generated(files: Map<string, string>, data: { readonly [key: string]: string }): object {
  const variables = Object.entries(data).filter(([key]) => key.startsWith('PARSEC_'))
  if (variables.length > 0) {
    files.set('config.env', variables.map(([key, value]) => `${key}=${value}\n`).join(''))
    return { envs: ['config.env'] }
  }
  for (const [key, content] of Object.entries(data)) files.set(key, content)
  return { files: Object.keys(data) }
}

function withoutHelm<T>(value: T): T {
  if (Array.isArray(value)) return value.map(withoutHelm) as T
  if (typeof value !== 'object' || value === null) return value
  const kept = Object.entries(value)
    .filter(([name]) => !isOfHelm(name))
    .map(([name, part]) => [name, withoutHelm(part)] as const)
    .filter(([name, part]) => name !== 'annotations' || Object.keys(part as object).length > 0)
  return Object.fromEntries(kept) as T
}

// Options of the server

type Variable = { name: string; isSecret: boolean }
/** The variables of a command, `run` or another, from the page that is made of its table of options. */
export function variablesOf(command: string): Variable[] {
  const page = readFileSync(join(ROOT, 'docs/configuration.md'), 'utf8')
  const [, section = ''] = new RegExp(`^## \`parsec backend ${command}\`$(.*?)^## `, 'ms').exec(page) ?? []
  return [...section.matchAll(/^\| `.*?\| (`.*?) \|.*$/gm)].flatMap(([, cell]) => {
    const names = [...cell!.matchAll(/`(PARSEC_\w+)`/g)].map(([, name]) => name!)
    const isSecret = names.includes(`${names[0]}_FILE`)
    return names.filter(name => !isSecret || !name.endsWith('_FILE')).map(name => ({ name, isSecret }))
  })
}

const CONFIG = /(?<=^ {8}"PARSEC_BACKEND_ADDR": .*\n)( {8}"PARSEC_\w+": .*\n)+/m

/** The schema of the values, where `config` takes every variable of a server that is no secret. */
function schema(): string {
  const names = variablesOf('run').flatMap(({ name, isSecret }) => (isSecret || OWN.includes(name) ? [] : name))
  const taken = names.filter(name => name !== 'PARSEC_BACKEND_ADDR').sort()
  const lines = taken.map(name => `        "${name}": { "$ref": "#/$defs/value" }`).join(',\n')
  return readFileSync(join(ROOT, SCHEMA), 'utf8').replace(CONFIG, () => `${lines}\n`)
}

// The table of values

const TABLE = /(?<=<!-- values -->\n).*(?=<!-- end -->)/s

/** The README with the table of values.yaml. */
function readme(): string {
  const rows = valueRows().map(({ path, value, text }) => `| \`${path}\` | \`${value}\` | ${text} |\n`)
  const table = `\n| Value | Default | Meaning |\n|---|---|---|\n${rows.join('')}\n`
  return readFileSync(join(ROOT, README), 'utf8').replace(TABLE, () => table)
}

/** Every value that has one of its own in values.yaml, with the comment above it. */
export function valueRows(): { path: string; value: string; text: string }[] {
  const rows: { path: string; value: string; text: string }[] = []
  let path: string[] = []
  let comment: string[] = []
  for (const line of readFileSync(join(ROOT, VALUES), 'utf8').split('\n')) {
    const [, indentation = '', note, key, value] = /^( *)(?:# (.*)|(\w+):(?: (.*))?)$/.exec(line) ?? []
    if (note !== undefined) comment.push(note)
    else {
      if (key !== undefined) path = [...path.slice(0, indentation.length / 2), key]
      if (value !== undefined) rows.push({ path: path.join('.'), value, text: comment.join(' ') })
      comment = []
    }
  }
  return rows
}
