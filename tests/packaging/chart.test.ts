/**
 * The Helm chart and the plain manifests: whether Kubernetes would take them, and their parts fit each other and the
 * server.
 */
import assert from 'node:assert/strict'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Deployment } from 'kubernetes-models/apps/v1'
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2'
import { Job } from 'kubernetes-models/batch/v1'
import { Ingress, NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1'
import { ConfigMap, type IContainer, type IPodSpec, Pod, Secret, Service } from 'kubernetes-models/v1'
import {
  CHART,
  generatedFiles,
  ofKind,
  type Resource,
  readYaml,
  render,
  resourcesOf,
  valueFile,
  valueFiles,
  valueRows,
} from './chart.ts'
import { tool } from './helm.ts'
import { assertValid } from './kubernetes.ts'
import { environment } from './pod.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** Variables that the chart sets by itself. */
const OWN = ['PARSEC_SERVICES', 'PARSEC_PORT', 'PARSEC_MONITOR_PORT', 'PARSEC_DRAIN_SECONDS']
/** Seconds that a server may need to end after its drain (docs/operations.md). */
const END_SECONDS = 10

for (const file of valueFiles()) {
  describe(`with ${file}`, () => {
    let resources: Resource[]
    before(async () => {
      resources = await render(file)
    })

    test('helm has no complaint', async () => {
      await tool('helm', ['lint', '--strict', CHART, '--values', valueFile(file)])
    })
    test('Kubernetes takes every object', () => assertValid(resources))
    test('no object is there twice', () => {
      const names = resources.map(({ kind, metadata }) => `${kind} ${metadata.name}`)
      assert.deepEqual(names, [...new Set(names)])
    })
    test('what objects name is there', () => assertReferences(resources))
    test('the migration needs nothing that is installed after it', () => {
      for (const { spec } of ofKind(resources, Job)) {
        const pod = spec!.template.spec!
        const names = pod.containers[0]!.env!.flatMap(({ valueFrom }) => valueFrom?.secretKeyRef?.name ?? [])
        for (const secret of ofKind(resources, Secret).filter(({ metadata }) => names.includes(metadata!.name!)))
          assert.equal(secret.metadata!.annotations!['helm.sh/hook'], 'pre-install,pre-upgrade')
        assert.equal(pod.serviceAccountName, undefined)
        assert.equal(pod.containers[0]!.envFrom, undefined)
      }
    })
    test('containers are given what they may and nothing else', () => {
      for (const pod of pods(resources)) assertHardened(pod)
    })
    test('a pod is given more time than its server needs to end', () => {
      for (const { spec } of ofKind(resources, Deployment)) {
        const pod = spec!.template.spec!
        const drain = pod.containers[0]!.env!.find(({ name }) => name === 'PARSEC_DRAIN_SECONDS')
        if (!drain) continue
        const preStop = pod.containers[0]!.lifecycle!.preStop!.sleep!.seconds
        assert.ok(pod.terminationGracePeriodSeconds! > preStop + Number(drain.value) + END_SECONDS)
      }
    })
    test('every variable of a server is one of its options', async () => {
      const known = (await options()).map(({ variable }) => variable)
      for (const container of containers(resources).filter(isServer)) {
        const configured = ofKind(resources, ConfigMap).flatMap(({ data }) => Object.keys(data ?? {}))
        const own = container.env!.map(({ name }) => name)
        for (const name of [...configured, ...own].filter(n => n.startsWith('PARSEC_')))
          assert.ok(known.includes(name), name)
      }
    })
    test('no secret is in an argument, a variable or a ConfigMap', async () => {
      const secret = (await options()).filter(option => option.isSecret).map(({ variable }) => variable)
      for (const { data } of ofKind(resources, ConfigMap))
        assert.deepEqual(
          Object.keys(data ?? {}).filter(name => secret.includes(name)),
          [],
        )
      const values = ofKind(resources, Secret).flatMap(({ data }) => Object.values(data!))
      const rest = JSON.stringify(resources.filter(({ kind }) => kind !== 'Secret'))
      for (const value of values) {
        assert.ok(!rest.includes(value))
        assert.ok(!rest.includes(JSON.stringify(Buffer.from(value, 'base64').toString()).slice(1, -1)))
      }
    })
  })
}

test('the smallest installation is one pod', async () => {
  const deployments = ofKind(await render('oneprocess-values.yaml'), Deployment)
  assert.deepEqual(
    deployments.map(({ metadata, spec }) => [metadata!.name, spec!.replicas, spec!.strategy!.type]),
    [['parsec-server', 1, 'Recreate']],
  )
})

test('a service overrides what holds for all, to false too', async () => {
  const resources = await render('full-values.yaml')
  const scaled = ofKind(resources, HorizontalPodAutoscaler)
  assert.deepEqual(scaled.map(({ metadata, spec }) => [metadata!.name, spec!.minReplicas, spec!.maxReplicas]).sort(), [
    ['drive-blockstore', 2, 10],
    ['drive-gateway', 2, 40],
    ['drive-metadata', 2, 10],
  ])
  const replicas = (name: string) =>
    ofKind(resources, Deployment).find(({ metadata }) => metadata!.name === name)!.spec!.replicas
  assert.equal(replicas('drive-admin'), 1)
  assert.equal(replicas('drive-gateway'), undefined, 'the autoscaler decides')
})

test('values reach the server as they are written', async () => {
  const { data } = ofKind(await render('full-values.yaml'), ConfigMap).find(
    ({ metadata }) => metadata!.name === 'drive',
  )!
  assert.equal(data!.PARSEC_ORGANIZATION_INITIAL_ACTIVE_USERS_LIMIT, '1000000')
  assert.equal(data!.PARSEC_ORGANIZATION_INITIAL_USER_PROFILE_OUTSIDER_ALLOWED, 'false')
  assert.equal(data!.PARSEC_SSE_KEEPALIVE, '12.5')
})

test('each service is given only its own secrets', async () => {
  const resources = await render('full-values.yaml')
  const given = ofKind(resources, Deployment).map(({ metadata, spec }) => {
    const names = spec!.template.spec!.containers[0]!.env!.filter(({ valueFrom }) => valueFrom?.secretKeyRef)
    return [metadata!.name, names.map(({ name }) => name).join(' ')]
  })
  assert.deepEqual(Object.fromEntries(given), {
    'drive-admin': 'PARSEC_ADMINISTRATION_TOKEN NATS_PASSWORD',
    'drive-blockstore': 'PARSEC_BLOCKSTORE NATS_PASSWORD',
    'drive-gateway': 'PARSEC_ADMINISTRATION_TOKEN NATS_PASSWORD',
    'drive-metadata': 'PARSEC_DB PARSEC_EMAIL_HOST_PASSWORD NATS_PASSWORD',
    'drive-nats':
      'SECRET_NATS_ADMIN_PASSWORD SECRET_NATS_BLOCKSTORE_PASSWORD SECRET_NATS_GATEWAY_PASSWORD SECRET_NATS_METADATA_PASSWORD',
  })
})

test('a NATS of yours, by its address or by the Secret', async () => {
  const url = 'nats://nats.example.com:4222'
  const named = await render('minimal-values.yaml', { 'nats.enabled': false, 'nats.url': url })
  const kept = await render('minimal-values.yaml', { 'nats.enabled': false, 'nats.urlFromSecret': true })
  const variable = (resources: Resource[]) =>
    containers(ofKind(resources, Deployment)).map(({ env }) => env!.find(({ name }) => name === 'PARSEC_NATS_URL'))
  assert.equal(variable(named).length, 4)
  for (const found of variable(named)) assert.equal(found!.value, url)
  for (const found of variable(kept))
    assert.deepEqual(found!.valueFrom!.secretKeyRef, { name: 'parsec', key: 'PARSEC_NATS_URL' })
  await assertValid(kept)
})

const REFUSED: readonly (readonly [why: string, file: string, settings: { [path: string]: unknown }, RegExp])[] = [
  ['a value that does not exist', 'minimal', { 'gateway.replica': 3 }, /replica/],
  ['an option that does not exist', 'minimal', { 'config.PARSEC_PROT': 1 }, /PARSEC_PROT/],
  ['a secret among the options', 'minimal', { 'config.PARSEC_DB': 'postgresql://…' }, /PARSEC_DB/],
  ['no public address', 'minimal', { 'config.PARSEC_BACKEND_ADDR': '' }, /PARSEC_BACKEND_ADDR/],
  ['a password of NATS that is short', 'full', { 'secrets.values.NATS_ADMIN_PASSWORD': 'x' }, /NATS_ADMIN_PASSWORD/],
  ['a secret that is missing', 'full', { 'secrets.values.PARSEC_DB': '' }, /secrets\.values\.PARSEC_DB is needed/],
  ['credentials in nats.url', 'minimal', { 'nats.enabled': false, 'nats.url': 'nats://me:secret@nats:4222' }, /nats/],
  ['two kinds of NATS', 'minimal', { 'nats.urlFromSecret': true }, /exclude each other/],
  ['services without NATS', 'minimal', { 'nats.enabled': false }, /services: each needs NATS/],
  ['two processes without NATS', 'oneprocess', { 'server.replicas': 2 }, /set server\.replicas to 1/],
  ['an Ingress without host', 'minimal', { 'ingress.enabled': true }, /ingress\.host is needed/],
]
describe('refused', { concurrency: 2 }, () => {
  for (const [why, file, settings, complaint] of REFUSED)
    test(why, async () => {
      await assert.rejects(render(`${file}-values.yaml`, settings), ({ stderr }) => complaint.test(stderr))
    })
})

test('the notes of a release name what is not safe', async () => {
  const notes = async (file: string, ...more: string[]) => {
    const argv = ['install', 'parsec', CHART, '--dry-run=client', '--values', valueFile(file), ...more]
    const [, text = ''] = (await tool('helm', argv)).split('\nNOTES:\n')
    return [...text.split('\nHOOKS:')[0]!.matchAll(/^ {2}- (\S+?):? /gm)].map(([, name]) => name)
  }
  assert.deepEqual(await notes('full-values.yaml'), ['secrets.values'])
  assert.deepEqual(await notes('full-values.yaml', '--set', 'secrets.existingSecret=ours'), [])
  const unsafe = {
    'config.PARSEC_DEBUG': true,
    'config.PARSEC_SPONTANEOUS_ORGANIZATION_BOOTSTRAP': 'yes',
    'config.PARSEC_BACKEND_ADDR': 'parsec://drive?no_ssl=true',
    'config.PARSEC_EMAIL_HOST': 'smtp.example.com',
    'networkPolicy.enabled': false,
    'secrets.values.PARSEC_BLOCKSTORE': 'POSTGRESQL',
    'secrets.values.PARSEC_ADMINISTRATION_TOKEN': 's3cr3t',
  }
  const settings = Object.entries(unsafe).flatMap(([path, value]) => ['--set-json', `${path}=${JSON.stringify(value)}`])
  assert.deepEqual(await notes('oneprocess-values.yaml', ...settings), [
    'config.PARSEC_DEBUG',
    'config.PARSEC_SPONTANEOUS_ORGANIZATION_BOOTSTRAP',
    'config.PARSEC_BACKEND_ADDR',
    'ingress.tlsSecret',
    'config.PARSEC_TRUSTED_PROXIES',
    'config.PARSEC_EMAIL_HOST',
    'networkPolicy.enabled',
    'secrets.values',
    'secrets.values.PARSEC_BLOCKSTORE',
    'secrets.values.PARSEC_ADMINISTRATION_TOKEN',
  ])
})

test('config takes every option of the server, except secrets and what the chart sets', async () => {
  const schema = readYaml('k8s/parsec/values.schema.json') as Schema
  const wanted = (await options()).filter(({ isSecret, isRetired }) => !isSecret && !isRetired)
  assert.deepEqual(
    Object.keys(schema.properties!.config!.properties!).sort(),
    wanted
      .map(({ variable }) => variable)
      .filter(name => !OWN.includes(name))
      .sort(),
  )
})

test('the schema knows what values.yaml and its README list, and refuses the rest', async () => {
  const schema = readYaml('k8s/parsec/values.schema.json') as Schema
  const paths = valueRows().map(({ path }) => path)
  const withDefault = leaves(schema, schema).filter(
    path => !/^(global$|config\.|gateway|metadata|blockstore|admin|server)/.test(path),
  )
  assert.deepEqual(
    withDefault.filter(path => !paths.includes(path)),
    [],
  )
})

test('k8s/manifests and the README are what the chart says: npm run k8s', async () => {
  const files = await generatedFiles()
  for (const [file, content] of files) assert.equal(await readFile(join(ROOT, file), 'utf8'), content, file)
  const there = (await readdir(join(ROOT, 'k8s/manifests'))).map(name => `k8s/manifests/${name}`)
  assert.deepEqual(
    there.filter(file => !files.has(file)),
    [],
  )
})

test('the values in docs/kubernetes.md', async () => {
  const page = await readFile(join(ROOT, 'docs/kubernetes.md'), 'utf8')
  const values = [...page.matchAll(/^```yaml\n(.*?)^```/gms)].map(([, block]) => block).join('')
  const folder = await mkdtemp(join(tmpdir(), 'parsec-values-'))
  try {
    await writeFile(join(folder, 'values.yaml'), values)
    const resources = await render(join(folder, 'values.yaml'))
    await assertValid(resources)
    assert.equal(ofKind(resources, HorizontalPodAutoscaler).length, 1)
    assert.equal(ofKind(resources, Ingress).length, 1)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test('the overlay of the plain manifests', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'parsec-overlay-'))
  try {
    await cp(join(ROOT, 'k8s/manifests'), join(folder, 'manifests'), { recursive: true })
    await cp(join(ROOT, 'k8s/overlay'), join(folder, 'overlay'), { recursive: true })
    await cp(join(ROOT, 'k8s/overlay/secret.env.example'), join(folder, 'overlay/secret.env'))
    const resources = resourcesOf(await tool('kubectl', ['kustomize', join(folder, 'overlay')]))
    await assertValid(resources)
    assertReferences(resources)
    const gateway = ofKind(resources, Deployment).find(({ metadata }) => metadata!.name === 'parsec-gateway')!
    const [container] = gateway.spec!.template.spec!.containers
    assert.equal(container!.image, 'registry.example.com/parsec-server:0.1.0')
    const variables = environment(container!, resources)
    assert.equal(variables.PARSEC_BACKEND_ADDR, 'parsec://drive.example.com')
    assert.equal(variables.PARSEC_NATS_URL, 'nats://gateway:PASSWORD-1@parsec-nats:4222')
    const [secret] = ofKind(resources, Secret)
    const blockstore = Buffer.from(secret!.data!.PARSEC_BLOCKSTORE!, 'base64').toString()
    assert.equal(blockstore, 's3:https\\://s3.example.com:REGION:BUCKET:KEY:SECRET')
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

type Labels = { [name: string]: string }
const podLabels = (resources: readonly Resource[]): Labels[] => [
  ...ofKind(resources, Deployment).map(({ spec }) => spec!.template.metadata!.labels!),
  ...ofKind(resources, Job).map(({ spec }) => spec!.template.metadata!.labels!),
  ...ofKind(resources, Pod).map(({ metadata }) => metadata!.labels!),
]
const selects = (selector: Labels, labels: Labels): boolean =>
  Object.entries(selector).every(([name, value]) => labels[name] === value)

const templated = (resources: readonly Resource[]) => [...ofKind(resources, Deployment), ...ofKind(resources, Job)]
const pods = (resources: readonly Resource[]): IPodSpec[] => [
  ...templated(resources).map(({ spec }) => spec!.template.spec!),
  ...ofKind(resources, Pod).map(({ spec }) => spec!),
]
const containers = (resources: readonly Resource[]): IContainer[] => pods(resources).flatMap(pod => pod.containers)
const isServer = ({ name }: IContainer): boolean => name === 'parsec' || name === 'migrate'

/** Throws unless every name and label that one object has of another leads to it. */
function assertReferences(resources: readonly Resource[]): void {
  const exists = (kind: string, name: string | undefined): boolean =>
    resources.some(resource => resource.kind === kind && resource.metadata.name === name)
  const makesSecrets = ofKind(resources, Secret).length > 0
  for (const pod of pods(resources)) {
    if (pod.serviceAccountName) assert.ok(exists('ServiceAccount', pod.serviceAccountName))
    for (const container of pod.containers) {
      if (makesSecrets) environment(container, resources)
      for (const { name } of container.volumeMounts ?? []) assert.ok(pod.volumes!.some(volume => volume.name === name))
      const ports = container.ports?.map(port => port.name) ?? []
      const { startupProbe, livenessProbe, readinessProbe } = container
      for (const probe of [startupProbe, livenessProbe, readinessProbe])
        assert.ok(!probe || ports.includes(probe.httpGet!.port as string))
    }
    for (const { configMap } of pod.volumes ?? []) assert.ok(!configMap || exists('ConfigMap', configMap.name))
  }
  for (const { spec } of templated(resources)) {
    const { matchLabels } = spec!.selector ?? {}
    if (matchLabels) assert.ok(selects(matchLabels, spec!.template.metadata!.labels!))
  }
  for (const { spec } of ofKind(resources, Service)) {
    const selected = ofKind(resources, Deployment).filter(deployment =>
      selects(spec!.selector!, deployment.spec!.template.metadata!.labels!),
    )
    assert.equal(selected.length, 1)
    const ports = selected[0]!.spec!.template.spec!.containers.flatMap(container => container.ports!)
    for (const { port, targetPort } of spec!.ports!)
      assert.ok(ports.some(({ name, containerPort }) => name === targetPort && containerPort === port))
  }
  for (const { spec } of ofKind(resources, PodDisruptionBudget))
    assert.equal(podLabels(resources).filter(labels => selects(spec!.selector!.matchLabels!, labels)).length, 1)
  for (const { spec } of ofKind(resources, HorizontalPodAutoscaler))
    assert.ok(exists('Deployment', spec!.scaleTargetRef.name))
  for (const { spec } of ofKind(resources, NetworkPolicy)) {
    const peers = [
      ...(spec!.ingress ?? []).flatMap(rule => rule.from ?? []),
      ...(spec!.egress ?? []).flatMap(rule => rule.to ?? []),
    ]
    for (const { matchLabels } of [spec!.podSelector!, ...peers.flatMap(peer => peer.podSelector ?? [])])
      assert.equal(podLabels(resources).filter(labels => selects(matchLabels!, labels)).length, 1)
  }
  for (const { spec } of ofKind(resources, Ingress))
    for (const { backend } of spec!.rules!.flatMap(rule => rule.http!.paths)) {
      const service = ofKind(resources, Service).find(({ metadata }) => metadata!.name === backend.service!.name)
      assert.ok(service?.spec?.ports?.some(({ name }) => name === backend.service!.port!.name))
    }
  for (const monitor of resources.filter(({ kind }) => kind === 'ServiceMonitor')) {
    const { selector, endpoints } = monitor.spec as { selector: { matchLabels: Labels }; endpoints: { port: string }[] }
    const found = ofKind(resources, Service).filter(({ metadata }) => selects(selector.matchLabels, metadata!.labels!))
    assert.equal(found.length, ofKind(resources, Deployment).length - 1, 'one per service; NATS has none')
    for (const { spec } of found) assert.ok(spec!.ports!.some(({ name }) => name === endpoints[0]!.port))
  }
}

function assertHardened(pod: IPodSpec): void {
  assert.equal(pod.automountServiceAccountToken, false)
  assert.equal(pod.enableServiceLinks, false)
  assert.equal(pod.securityContext!.runAsNonRoot, true)
  assert.equal(pod.securityContext!.runAsUser, 1234)
  assert.equal(pod.securityContext!.seccompProfile!.type, 'RuntimeDefault')
  for (const { securityContext, resources } of pod.containers) {
    assert.equal(securityContext!.allowPrivilegeEscalation, false)
    assert.equal(securityContext!.readOnlyRootFilesystem, true)
    assert.deepEqual(securityContext!.capabilities!.drop, ['ALL'])
    assert.ok(resources!.limits!.memory)
    assert.ok(resources!.requests!.cpu)
  }
}

type ServerOption = { variable: string; isSecret: boolean; isRetired: boolean }
/** The options of `parsec backend run`, from the page that is made of their table. */
async function options(): Promise<ServerOption[]> {
  const page = await readFile(join(ROOT, 'docs/configuration.md'), 'utf8')
  const [, run = ''] = /^## `parsec backend run`$(.*?)^## /ms.exec(page) ?? []
  return run.split(/^### /m).flatMap(group =>
    [...group.matchAll(/^\| `.*?\| `(PARSEC_\w+)`.*$/gm)].map(([row, variable]) => ({
      variable: variable!,
      isSecret: row.includes(`\`${variable}_FILE\``),
      isRetired: group.startsWith('Options of older releases'),
    })),
  )
}

type Schema = {
  $ref?: string
  $defs?: { [name: string]: Schema }
  properties?: { [name: string]: Schema }
  additionalProperties?: unknown
}
/** The paths of all values; throws where an object takes what it does not name. */
function leaves(schema: Schema, root: Schema, path: readonly string[] = []): string[] {
  const { properties, additionalProperties } = schema.$ref ? root.$defs![schema.$ref.replace('#/$defs/', '')]! : schema
  if (!properties) return [path.join('.')]
  assert.equal(additionalProperties, false, path.join('.'))
  return Object.entries(properties).flatMap(([name, part]) => leaves(part, root, [...path, name]))
}
