/**
 * The Helm chart and the plain manifests: whether Kubernetes would take them, and their parts fit each other and the
 * server.
 */
import assert from 'node:assert/strict'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { HTTPRoute } from '@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1'
import { Deployment } from 'kubernetes-models/apps/v1'
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2'
import { CronJob, Job } from 'kubernetes-models/batch/v1'
import { Ingress, NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1'
import { ConfigMap, type IContainer, type IPodSpec, Pod, Secret, Service } from 'kubernetes-models/v1'
import {
  CHART,
  generatedFiles,
  OWN,
  ofKind,
  type Resource,
  readYaml,
  render,
  resourcesOf,
  valueFile,
  valueFiles,
  valueRows,
  variablesOf,
} from './chart.ts'
import { tool } from './helm.ts'
import { assertValid } from './kubernetes.ts'
import { environment } from './pod.ts'

const COMPONENT = 'app.kubernetes.io/component'
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
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
        assert.ok(!pod.containers[0]!.envFrom?.some(({ configMapRef }) => configMapRef!.name!.startsWith('parsec')))
      }
    })
    test('containers are given what they may and nothing else', () => {
      for (const pod of pods(resources)) assertHardened(pod)
    })
    test('why a container ended is a field of its pod', () => {
      for (const { containers } of pods(resources))
        assert.equal(containers[0]!.terminationMessagePolicy, 'FallbackToLogsOnError')
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
    test('every variable of a server is one of its options', () => {
      for (const container of containers(resources).filter(isServer)) {
        const known = variablesOf(container.args![1]!).map(({ name }) => name)
        const isOfRun = container.name === 'parsec'
        const configured = isOfRun ? ofKind(resources, ConfigMap).flatMap(({ data }) => Object.keys(data ?? {})) : []
        const own = container.env!.map(({ name }) => name)
        for (const name of [...configured, ...own].filter(n => n.startsWith('PARSEC_')))
          assert.ok(known.includes(name), name)
      }
    })
    test('no secret is in an argument, a variable or a ConfigMap', () => {
      const secret = variablesOf('run').flatMap(({ name, isSecret }) => (isSecret ? name : []))
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
    'drive-admin': 'PARSEC_ADMINISTRATION_TOKEN PARSEC_OTEL_ENDPOINT NATS_PASSWORD',
    'drive-blockstore': 'PARSEC_BLOCKSTORE PARSEC_OTEL_ENDPOINT NATS_PASSWORD',
    'drive-gateway': 'PARSEC_ADMINISTRATION_TOKEN PARSEC_OTEL_ENDPOINT NATS_PASSWORD',
    'drive-metadata': 'PARSEC_DB PARSEC_EMAIL_HOST_PASSWORD PARSEC_OTEL_ENDPOINT NATS_PASSWORD',
    'drive-nats':
      'SECRET_NATS_ADMIN_PASSWORD SECRET_NATS_BLOCKSTORE_PASSWORD SECRET_NATS_GATEWAY_PASSWORD SECRET_NATS_METADATA_PASSWORD SECRET_NATS_CLUSTER_PASSWORD',
  })
})

test('where pods may run, and what they are given, holds for NATS, the Jobs and the test too', async () => {
  const resources = await render('full-values.yaml')
  const all = pods(resources)
  assert.equal(all.length, 9, 'four services, NATS, migration, scrub, backup and test')
  for (const pod of all) {
    assert.deepEqual(pod.nodeSelector, { disk: 'ssd' })
    assert.equal(pod.priorityClassName, 'high')
    assert.equal(pod.hostAliases?.length, 1)
    const lost = pod.tolerations!.filter(({ key }) => key?.startsWith('node.kubernetes.io/'))
    assert.deepEqual(
      lost.map(({ tolerationSeconds }) => tolerationSeconds),
      /migrate|scrub|backup/.test(pod.containers[0]!.name) ? [300, 300] : [10, 10],
    )
    const [main] = pod.containers
    const own = main!.name === 'parsec' && main!.env!.some(({ name }) => name === 'AWS_CA_BUNDLE')
    if (!own && main!.name !== 'scrub') assert.ok(main!.env!.some(({ name, value }) => name === 'TZ' && value))
  }
  const [migration] = ofKind(resources, Job)
  const { tolerations, containers: started } = migration!.spec!.template.spec!
  assert.equal(tolerations![0]!.key, 'jobs', 'its own over those of all')
  assert.ok(started[0]!.env!.some(({ name, value }) => name === 'PARSEC_LOG_LEVEL' && value === 'WARNING'))
})

test('in a namespace where nothing is allowed every pod has what it needs', async () => {
  const policies = ofKind(await render('minimal-values.yaml'), NetworkPolicy)
  const component = ({ spec }: (typeof policies)[number]) => spec!.podSelector!.matchLabels![COMPONENT]!
  assert.deepEqual(policies.map(component).sort(), [
    ...['admin', 'blockstore', 'gateway', 'metadata', 'migrate', 'nats', 'scrub', 'test'],
  ])
  for (const policy of policies) {
    const ports = policy.spec!.egress!.flatMap(rule => rule.ports!.map(({ port }) => port))
    assert.ok(ports.includes(53), component(policy))
    if (/metadata|migrate|scrub/.test(component(policy))) assert.ok(ports.includes(5432))
    if (/blockstore|scrub/.test(component(policy))) assert.ok(ports.includes(443))
  }
  const hooks = policies.filter(({ metadata }) => metadata!.annotations?.['helm.sh/hook'])
  assert.deepEqual(hooks.map(component).sort(), ['migrate', 'test'])
  for (const { metadata } of hooks) assert.equal(metadata!.annotations!['helm.sh/hook-weight'], '-1', 'before its pod')
})

test('every variable of a server has its place in the values, or the chart sets it', () => {
  const schema = readYaml('k8s/parsec/values.schema.json') as Schema
  const paths = leaves(schema, schema)
  for (const { name, isSecret } of variablesOf('run').filter(variable => !OWN.includes(variable.name)))
    assert.ok(paths.includes(isSecret ? `secrets.values.${name}` : `config.${name}`), name)
})

test('traces: their collector is a secret of every service, and one rule lets all of them go there', async () => {
  const resources = await render('full-values.yaml', {
    'secrets.values.PARSEC_OTEL_ENDPOINT': 'https://parsec:collector-secret@collector.example.com:4318',
    'networkPolicy.egress': [{ ports: [{ port: 4318 }] }],
  })
  await assertValid(resources)
  const policies = ofKind(resources, NetworkPolicy)
  for (const name of ['gateway', 'metadata', 'blockstore', 'admin']) {
    const found = ofKind(resources, Deployment).find(({ metadata }) => metadata!.name === `drive-${name}`)!
    const { PARSEC_OTEL_ENDPOINT } = environment(found.spec!.template.spec!.containers[0]!, resources)
    assert.equal(PARSEC_OTEL_ENDPOINT, 'https://parsec:collector-secret@collector.example.com:4318')
    const { spec } = policies.find(({ metadata }) => metadata!.name === `drive-${name}`)!
    assert.ok(spec!.egress!.some(({ ports = [] }) => ports.some(({ port }) => port === 4318)))
    assert.equal(name === 'metadata', JSON.stringify(spec!.egress).includes('5432'), 'its own rules stay')
  }
})

test('pods of one revision are apart from each other by host, and by zone where nodes have one', async () => {
  for (const { metadata, spec } of ofKind(await render('minimal-values.yaml'), Deployment)) {
    const { topologySpreadConstraints, affinity } = spec!.template.spec!
    assert.deepEqual(
      topologySpreadConstraints!.map(({ labelSelector, ...constraint }) => constraint),
      [
        {
          topologyKey: 'kubernetes.io/hostname',
          maxSkew: 1,
          // Brokers on one node would all go with it.
          whenUnsatisfiable: metadata!.name === 'parsec-nats' ? 'DoNotSchedule' : 'ScheduleAnyway',
          nodeTaintsPolicy: 'Honor',
          matchLabelKeys: ['pod-template-hash'],
        },
      ],
      'a constraint whose key a node lacks makes the scheduler forget the others',
    )
    const [zone] = affinity!.podAntiAffinity!.preferredDuringSchedulingIgnoredDuringExecution!
    assert.equal(zone!.podAffinityTerm.topologyKey, 'topology.kubernetes.io/zone')
    assert.deepEqual(zone!.podAffinityTerm.labelSelector, topologySpreadConstraints![0]!.labelSelector)
  }
})

test('who scales by other means owns the number of pods', async () => {
  const resources = await render('minimal-values.yaml', {
    'gateway.replicas': null,
    'metadata.autoscaling.enabled': true,
  })
  const replicas = ofKind(resources, Deployment).map(({ metadata, spec }) => [metadata!.name, spec!.replicas])
  assert.deepEqual(Object.fromEntries(replicas), {
    'parsec-admin': 2,
    'parsec-blockstore': 2,
    'parsec-gateway': undefined,
    'parsec-metadata': undefined,
    'parsec-nats': 3,
  })
})

test('three NATS servers that know each other, or one that is alone', async () => {
  const three = await render('minimal-values.yaml')
  const one = await render('minimal-values.yaml', { 'nats.replicas': 1 })
  const nats = (resources: Resource[]) =>
    resources
      .filter(({ metadata }) => metadata.labels![COMPONENT] === 'nats')
      .map(({ kind, metadata }) => `${kind} ${metadata.name}`)
  const alone = ['NetworkPolicy parsec-nats', 'ConfigMap parsec-nats', 'Service parsec-nats', 'Deployment parsec-nats']
  assert.deepEqual(nats(one).sort(), alone.sort())
  assert.deepEqual(
    nats(three).filter(object => !alone.includes(object)),
    ['PodDisruptionBudget parsec-nats', 'Service parsec-nats-routes'],
  )
  const config = (resources: Resource[]) =>
    ofKind(resources, ConfigMap).find(({ metadata }) => metadata!.name === 'parsec-nats')!.data!['nats.conf']!
  assert.match(config(three), /^cluster \{/m)
  assert.doesNotMatch(config(one), /cluster|ROUTE/)
  assert.doesNotMatch(JSON.stringify(one), /CLUSTER/)
})

test('a prefix of subjects is in the rights at NATS', async () => {
  const resources = await render('minimal-values.yaml', { 'config.PARSEC_NATS_SUBJECT_PREFIX': 'acme' })
  const config = ofKind(resources, ConfigMap).find(({ metadata }) => metadata!.name === 'parsec-nats')!
  assert.match(config.data!['nats.conf']!, /"acme\.inbox\.gateway\.>"/)
  assert.doesNotMatch(config.data!['nats.conf']!, /"parsec\./)
})

test('what is yours is used: secrets by key or file, account, uid of the namespace, images by digest', async () => {
  const digest = `sha256:${'0123456789abcdef'.repeat(4)}`
  const resources = await render('minimal-values.yaml', {
    'secrets.from': {
      PARSEC_DB: { secret: 'postgres', key: 'uri' },
      PARSEC_BLOCKSTORE: { file: '/vault/store' },
      NATS_ADMIN_PASSWORD: { secret: 'nats-admin' },
    },
    serviceAccount: { create: false, name: 'ours' },
    'defaults.podSecurityContext': { runAsUser: null, runAsGroup: null, fsGroup: null },
    'gateway.image': { digest },
    'config.PARSEC_SENTRY_URL': 'https://key@sentry.example.com/1',
    'nats.image.digest': digest,
  })
  await assertValid(resources)
  assert.deepEqual(
    resources.filter(({ kind }) => kind === 'ServiceAccount' || kind === 'Secret'),
    [],
  )
  const variable = (name: string) => containers(resources).flatMap(({ env = [] }) => env.filter(e => e.name === name))
  for (const { valueFrom } of variable('PARSEC_DB'))
    assert.deepEqual(valueFrom!.secretKeyRef, { name: 'postgres', key: 'uri' })
  assert.equal(variable('PARSEC_DB').length, 3, 'metadata, migration and scrub')
  assert.deepEqual(variable('PARSEC_BLOCKSTORE'), [])
  assert.deepEqual(
    variable('PARSEC_BLOCKSTORE_FILE').map(({ value }) => value),
    ['/vault/store', '/vault/store'],
  )
  const [password] = variable('SECRET_NATS_ADMIN_PASSWORD')
  assert.deepEqual(password!.valueFrom!.secretKeyRef, { name: 'nats-admin', key: 'NATS_ADMIN_PASSWORD' })
  for (const pod of pods(resources)) {
    assert.deepEqual(pod.securityContext, { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
    if (pod.containers[0]!.name !== 'smoke') assert.equal(pod.serviceAccountName, 'ours')
  }
  const images = containers(ofKind(resources, Deployment)).map(({ image }) => image)
  assert.deepEqual(images.filter(image => image!.includes('@')).sort(), [`nats@${digest}`, `parsec-server@${digest}`])
})

test('NATS with TLS: its key for itself alone, its authority for the services', async () => {
  const resources = await render('full-values.yaml', { 'nats.tls.secret': 'nats-tls' })
  await assertValid(resources)
  for (const { metadata, spec } of ofKind(resources, Deployment)) {
    const { volumes, containers } = spec!.template.spec!
    const { secret } = volumes!.find(volume => volume.secret?.secretName === 'nats-tls')!
    if (metadata!.name === 'drive-nats') assert.equal(secret!.items, undefined)
    else {
      assert.deepEqual(secret!.items, [{ key: 'ca.crt', path: 'ca.crt' }])
      const value = (name: string) => containers[0]!.env!.find(variable => variable.name === name)!.value
      assert.match(value('PARSEC_NATS_URL')!, /^tls:\/\/\w+:\$\(NATS_PASSWORD\)@drive-nats:4222$/)
      assert.equal(value('PARSEC_NATS_TLS_CA'), '/etc/parsec-nats/ca.crt')
    }
  }
})

test('rules and dashboards that lie in the chart are objects of the release', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'parsec-chart-'))
  try {
    await cp(CHART, folder, { recursive: true })
    await rm(join(folder, 'monitoring'), { recursive: true, force: true })
    const settings = ['monitoring.prometheusRule.enabled=true', 'monitoring.dashboard.enabled=true']
    const argv = ['template', 'parsec', folder, '--values', valueFile('full-values.yaml'), '--set', settings.join()]
    await assert.rejects(tool('helm', argv), /has no (rules|dashboard) in its folder monitoring/)
    await mkdir(join(folder, 'monitoring'))
    const alert = { alert: 'Down', expr: 'up == 0', annotations: { summary: '{{ $labels.instance }} is down' } }
    await writeFile(join(folder, 'monitoring/a.yaml'), JSON.stringify({ groups: [{ name: 'parsec', rules: [alert] }] }))
    await writeFile(join(folder, 'monitoring/b.json'), '{"title": "{{pod}}"}')
    const resources = resourcesOf(await tool('helm', argv))
    await assertValid(resources)
    const rule = resources.find(({ kind }) => kind === 'PrometheusRule')!
    assert.deepEqual(rule.spec, { groups: [{ name: 'parsec', rules: [alert] }] })
    const dashboards = ofKind(resources, ConfigMap).find(({ metadata }) => metadata!.labels!.grafana_dashboard)
    assert.deepEqual(dashboards!.data, { 'b.json': '{"title": "{{pod}}"}' })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})

test('the administration API on a host of its own', async () => {
  const settings = {
    'ingress.administrationHost': 'administration.example.com',
    'ingress.administrationTlsSecret': 'administration-tls',
  }
  const [ingress] = ofKind(await render('full-values.yaml', settings), Ingress)
  const routes = ingress!.spec!.rules!.map(({ host, http }) => [host, ...http!.paths.map(({ path }) => path)])
  assert.deepEqual(routes, [
    ['parsec.example.com', '/'],
    ['drive.example.com', '/'],
    ['administration.example.com', '/administration'],
  ])
  assert.equal(ingress!.spec!.tls!.length, 2)
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
  ['a number in a variable', 'minimal', { 'defaults.env': [{ name: 'X', value: true }] }, /env/],
  ['two NATS servers', 'minimal', { 'nats.replicas': 2 }, /replicas/],
  ['a grace shorter than the drain', 'minimal', { 'gateway.terminationGraceSeconds': 40 }, /more than 45/],
  ['more pods at least than at most', 'full', { 'gateway.autoscaling.minReplicas': 50 }, /more than maxReplicas/],
  ['a route without Gateway', 'minimal', { 'httpRoute.enabled': true }, /parentRefs is needed/],
  ['a password of NATS in a file', 'minimal', { 'secrets.from': { NATS_ADMIN_PASSWORD: { file: '/x' } } }, /from/],
  ['a backup without volume', 'minimal', { 'backup.enabled': true }, /backup\.volume is needed/],
  ['an Ingress without host', 'minimal', { 'ingress.enabled': true }, /ingress\.host is needed/],
]
describe('refused', { concurrency: 2 }, () => {
  for (const [why, file, settings, complaint] of REFUSED)
    test(why, async () => {
      await assert.rejects(render(`${file}-values.yaml`, settings), ({ stderr }) => complaint.test(stderr))
    })
})

test('a section that is left empty is refused by its name, and what is empty by default may be left so', async () => {
  const needed = ['backup.volume', 'httpRoute.parentRefs', 'httpRoute.hostnames']
  const sections = sectionsOf(readYaml('k8s/parsec/values.yaml') as object)
  const nothing = (wanted: typeof sections) => Object.fromEntries(wanted.map(({ path }) => [path.join('.'), null]))
  await render('full-values.yaml', nothing(sections.filter(s => s.isEmpty && !needed.includes(s.path.join('.')))))
  const refused: readonly (readonly [depth: number, RegExp])[] = [
    [1, /missing properties 'image'.*'gateway'.*'ingress'/],
    [2, /at '\/defaults': missing properties 'resources', 'probes'/],
    [3, /at '\/defaults\/probes': missing properties/],
  ]
  for (const [depth, complaint] of refused) {
    const wanted = sections.filter(({ path, isEmpty }) => !isEmpty && path.length === depth)
    await assert.rejects(render('full-values.yaml', nothing(wanted)), ({ stderr }) => complaint.test(stderr))
  }
})

test('the notes of a release name what is not safe', async () => {
  const notes = async (file: string, ...more: string[]) => {
    const argv = ['install', 'parsec', CHART, '--dry-run=client', '--values', valueFile(file), ...more]
    const [, text = ''] = (await tool('helm', argv)).split('\nNOTES:\n')
    return [...text.split('\nHOOKS:')[0]!.matchAll(/^ {2}- (\S+?):? /gm)].map(([, name]) => name)
  }
  assert.deepEqual(await notes('full-values.yaml'), ['secrets.values'])
  const alone = ['--set', 'secrets.existingSecret=ours,nats.replicas=1']
  assert.deepEqual(await notes('full-values.yaml', ...alone), ['nats.replicas'])
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

test('the schema knows what values.yaml and its README list, and refuses the rest', async () => {
  const schema = readYaml('k8s/parsec/values.schema.json') as Schema
  const paths = valueRows().map(({ path }) => path)
  const isListed = (path: string) => paths.some(listed => path === listed || path.startsWith(`${listed}.`))
  // What holds for all pods, or for all services, has no value of its own below the others.
  const unlisted = leaves(schema, schema).filter(
    path =>
      !isListed(path) &&
      !isListed(path.replace(/^(nats|migrate|scrub|backup|gateway|metadata|blockstore|admin|server)\./, 'defaults.')),
  )
  assert.deepEqual(
    unlisted.filter(path => path !== 'global' && !path.startsWith('config.')),
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

/** What a path of values begins with. */
const NAMED =
  /^(image|config|secrets|nats|defaults|gateway|metadata|blockstore|admin|server|autoscaling|ingress|httpRoute|networkPolicy|monitoring|migrate|scrub|backup)$/
test('the values and names in docs/kubernetes.md', async () => {
  const page = await readFile(join(ROOT, 'docs/kubernetes.md'), 'utf8')
  const values = [...page.matchAll(/^```yaml\n(.*?)^```/gms)].map(([, block]) => block).join('')
  const folder = await mkdtemp(join(tmpdir(), 'parsec-values-'))
  try {
    await writeFile(join(folder, 'values.yaml'), values)
    const resources = await render(join(folder, 'values.yaml'))
    await assertValid(resources)
    assert.equal(ofKind(resources, HorizontalPodAutoscaler).length, 1)
    assert.equal(ofKind(resources, Ingress).length, 1)
    for (const [, kind, name] of page.matchAll(/(deployment|cronjob|job)\/(parsec-\w+)/g))
      assert.ok(
        resources.some(r => r.kind.toLowerCase() === kind && r.metadata.name === name),
        `${kind}/${name}`,
      )
    const schema = readYaml('k8s/parsec/values.schema.json') as Schema
    const paths = leaves(schema, schema)
    const named = [...page.matchAll(/`([a-z]\w+)((?:\.\w+)+)(?:: [^`]*)?`/g)].filter(([, first]) => NAMED.test(first!))
    assert.ok(named.length > 30)
    for (const [text, first, rest] of named) {
      const path = first === 'autoscaling' ? `defaults.autoscaling${rest}` : `${first}${rest}`
      assert.ok(
        paths.some(known => known === path || known.startsWith(`${path}.`)),
        text,
      )
    }
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
  ...ofKind(resources, CronJob).map(({ spec }) => spec!.jobTemplate.spec!.template.metadata!.labels!),
  ...ofKind(resources, Pod).map(({ metadata }) => metadata!.labels!),
]
const selects = (selector: Labels, labels: Labels): boolean =>
  Object.entries(selector).every(([name, value]) => labels[name] === value)

const templated = (resources: readonly Resource[]) => [...ofKind(resources, Deployment), ...ofKind(resources, Job)]
const pods = (resources: readonly Resource[]): IPodSpec[] => [
  ...templated(resources).map(({ spec }) => spec!.template.spec!),
  ...ofKind(resources, CronJob).map(({ spec }) => spec!.jobTemplate.spec!.template.spec!),
  ...ofKind(resources, Pod).map(({ spec }) => spec!),
]
const containers = (resources: readonly Resource[]): IContainer[] => pods(resources).flatMap(pod => pod.containers)
const isServer = ({ name }: IContainer): boolean => ['parsec', 'migrate', 'scrub'].includes(name)

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
  for (const { spec } of ofKind(resources, HTTPRoute))
    for (const { name, port } of spec!.rules!.flatMap(rule => rule.backendRefs!)) {
      const service = ofKind(resources, Service).find(({ metadata }) => metadata!.name === name)
      assert.ok(service?.spec?.ports?.some(exposed => exposed.port === port))
    }
  for (const monitor of resources.filter(({ kind }) => kind === 'ServiceMonitor')) {
    const { selector, endpoints } = monitor.spec as {
      selector: { matchLabels: Labels }
      endpoints: { port: string; honorLabels?: boolean }[]
    }
    assert.equal(endpoints[0]!.honorLabels, true, 'the label `service` of the metrics stays')
    const found = ofKind(resources, Service).filter(({ metadata }) => selects(selector.matchLabels, metadata!.labels!))
    assert.equal(found.length, ofKind(resources, Deployment).length, 'one per service, and that of NATS')
    for (const { spec } of found) assert.ok(spec!.ports!.some(({ name }) => name === endpoints[0]!.port))
  }
}

function assertHardened(pod: IPodSpec): void {
  assert.equal(pod.automountServiceAccountToken, false)
  assert.equal(pod.enableServiceLinks, false)
  assert.equal(pod.securityContext!.runAsNonRoot, true)
  assert.equal(pod.securityContext!.runAsUser, 1234)
  assert.equal(pod.securityContext!.seccompProfile!.type, 'RuntimeDefault')
  // Those beside it are the user's.
  const { securityContext, resources } = pod.containers[0]!
  assert.equal(securityContext!.allowPrivilegeEscalation, false)
  assert.equal(securityContext!.readOnlyRootFilesystem, true)
  assert.deepEqual(securityContext!.capabilities!.drop, ['ALL'])
  assert.ok(resources!.limits!.memory)
  assert.ok(resources!.requests!.cpu)
}

/** The maps and lists of values, and whether there is nothing in them. */
function sectionsOf(values: object, path: readonly string[] = []): { path: readonly string[]; isEmpty: boolean }[] {
  return Object.entries(values).flatMap(([name, value]: [string, unknown]) => {
    if (typeof value !== 'object' || value === null) return []
    const section = { path: [...path, name], isEmpty: Object.keys(value).length === 0 }
    return [section, ...(Array.isArray(value) ? [] : sectionsOf(value, section.path))]
  })
}

type Schema = {
  $ref?: string
  $defs?: { [name: string]: Schema }
  allOf?: Schema[]
  properties?: { [name: string]: Schema }
  additionalProperties?: unknown
  unevaluatedProperties?: unknown
}
/** The paths of all values; throws where an object takes what it does not name. */
function leaves(schema: Schema, root: Schema, path: readonly string[] = [], isPart = false): string[] {
  const { $ref, properties, allOf = [] } = schema
  if ($ref) return leaves(root.$defs![$ref.replace('#/$defs/', '')]!, root, path, isPart)
  if (!properties) return [path.join('.')]
  assert.ok(isPart || schema.additionalProperties === false || schema.unevaluatedProperties === false, path.join('.'))
  const parts = allOf.flatMap(part => leaves(part, root, path, true))
  return [...parts, ...Object.entries(properties).flatMap(([name, part]) => leaves(part, root, [...path, name]))]
}
