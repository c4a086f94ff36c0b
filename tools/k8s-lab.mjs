/**
 * `npm run k8s:lab`: the chart on a real Kubernetes, as docs/kubernetes.md has it, under load, with everything that may
 * befall a cluster; prints the table of what clients saw. An hour, by hand. It works on a cluster for trials only: it stops
 * nodes. Variables:
 *
 *   K8S_LAB      a command that takes `kubectl …`, `helm …`, `exec CMD…` (a shell outside the cluster that reaches its
 *                nodes), `stop-node N`, `start-node N`
 *   K8S_NODES    addresses of two nodes, `10.0.0.1,10.0.0.2`
 *   K8S_IMAGE    the server's image, which the nodes have, `registry.example.com/parsec-server:0.1.0`; K8S_IMAGE_OLD: an
 *                earlier one, which is installed first, and for the rollback
 *   K8S_DB       PARSEC_DB, a new database for the upgrade to have migrations; K8S_BLOCKSTORE: PARSEC_BLOCKSTORE, as pods
 *                reach them; K8S_CA: file of their authority, if any
 *   K8S_DB_STOP, K8S_DB_START   commands that take the database away and bring it back
 *   K8S_ONLY     names of steps, separated by semicolons
 */
import { spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const NAMESPACE = 'parsec-lab'
const PORTS = { gateway: 31677, admin: 31678 }
const AWAY_MS = 60_000
const { K8S_LAB, K8S_NODES, K8S_IMAGE, K8S_IMAGE_OLD, K8S_DB, K8S_BLOCKSTORE, K8S_CA, K8S_ONLY } = process.env
for (const [name, value] of Object.entries({ K8S_LAB, K8S_NODES, K8S_IMAGE, K8S_DB, K8S_BLOCKSTORE }))
  if (!value) throw new Error(`${name} is needed: see the head of tools/k8s-lab.mjs`)
const nodes = K8S_NODES.split(',')
const splitImage = image => image?.split(/:(?=[^/]*$)/) ?? []
const [repository, tag] = splitImage(K8S_IMAGE)
const [, earlierTag] = splitImage(K8S_IMAGE_OLD)

function run(command, argv, { input = '', mayFail = false, env = {} } = {}) {
  const { status, stdout, stderr } = spawnSync(command, argv, {
    input,
    encoding: 'utf8',
    env: { ...process.env, ...env },
    shell: argv.length === 0,
  })
  if (status !== 0 && !mayFail) throw new Error(`${command} ${argv.join(' ')} (${status}):\n${stdout}${stderr}`)
  return { status, text: stdout + stderr, stdout }
}
const lab = (...argv) => run(K8S_LAB, argv)
const kubectl = (...argv) => run(K8S_LAB, ['kubectl', '--namespace', NAMESPACE, ...argv])
const apply = object => run(K8S_LAB, ['kubectl', 'apply', '-f', '-'], { input: JSON.stringify(object) })
const SERVICES = ['gateway', 'metadata', 'blockstore', 'admin']
const deployments = SERVICES.map(name => `deployment/parsec-${name}`)

const token = randomBytes(32).toString('hex')
const password = () => randomBytes(16).toString('hex')
const natsPasswords = () =>
  Object.fromEntries([...SERVICES, 'cluster'].map(name => [`NATS_${name.toUpperCase()}_PASSWORD`, password()]))
const secrets = {
  PARSEC_DB: K8S_DB,
  PARSEC_BLOCKSTORE: K8S_BLOCKSTORE,
  PARSEC_ADMINISTRATION_TOKEN: token,
  ...natsPasswords(),
}
const secret = stringData =>
  apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'parsec', namespace: NAMESPACE }, stringData })
const values = {
  'image.repository': repository,
  'image.tag': tag,
  'config.PARSEC_BACKEND_ADDR': 'parsec://parsec.example.com',
  'secrets.existingSecret': 'parsec',
}

const nodePort = (service, port) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: `lab-${service}`, namespace: NAMESPACE },
  spec: {
    type: 'NodePort',
    selector: { 'app.kubernetes.io/instance': 'parsec', 'app.kubernetes.io/component': service },
    ports: [{ port: 6777, targetPort: 'http', nodePort: port }],
  },
})

/** As docs/kubernetes.md has it: Secret, values, install. */
function prepare() {
  run(K8S_LAB, ['kubectl', 'delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait'])
  apply({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: NAMESPACE, labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } },
  })
  secret(secrets)
  if (K8S_CA) {
    const own = { name: 'ca', namespace: NAMESPACE }
    apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: own, data: { 'ca.pem': readFileSync(K8S_CA, 'utf8') } })
    values.volumes = [{ name: 'ca', configMap: { name: 'ca' } }]
    values.volumeMounts = [{ name: 'ca', mountPath: '/etc/parsec', readOnly: true }]
    values['blockstore.env'] = [{ name: 'AWS_CA_BUNDLE', value: '/etc/parsec/ca.pem' }]
  }
  apply(nodePort('gateway', PORTS.gateway))
  apply(nodePort('admin', PORTS.admin))
}

function helm(verb, more = {}, ...flags) {
  const settings = Object.entries({ ...values, ...more }).flatMap(([path, value]) => [
    '--set-json',
    `${path}=${JSON.stringify(value)}`,
  ])
  const chart = new URL('../k8s/parsec', import.meta.url)
  const argv = ['helm', verb, 'parsec', fileURLToPath(chart), '--namespace', NAMESPACE, '--wait', '--timeout', '10m']
  return run(K8S_LAB, [...argv, ...settings, ...flags])
}

/** Clients outside the cluster, at one of its nodes. */
class Load {
  #child
  #lines
  async start(node) {
    const program = fileURLToPath(new URL('../tests/kubernetes/load.ts', import.meta.url))
    const urls = [`ws://${node}:${PORTS.gateway}`, `http://${node}:${PORTS.admin}`, token]
    const argv = ['exec', process.execPath, '--conditions=development', program, ...urls]
    this.#child = spawn(K8S_LAB, argv, { cwd: ROOT, stdio: ['pipe', 'pipe', 'inherit'] })
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
    // Until they work.
    while ((await this.mark('start')).answered < 20) await pause(1_000)
  }
  async #next() {
    const { value, done } = await this.#lines.next()
    if (done) throw new Error('the clients ended')
    return JSON.parse(value)
  }
  mark(name) {
    this.#child.stdin.write(`mark ${name}\n`)
    return this.#next()
  }
  end() {
    this.#child.stdin.end()
    return this.#next()
  }
}

const rolledOut = () => {
  for (const name of [...deployments, 'deployment/parsec-nats']) kubectl('rollout', 'status', name, '--timeout=300s')
}
/** The oldest first. */
const podsOf = component => {
  const argv = ['-l', `app.kubernetes.io/component=${component}`, '--sort-by=.metadata.creationTimestamp', '-o', 'name']
  return kubectl('get', 'pods', ...argv)
    .stdout.trim()
    .split('\n')
}
const kill = pod => kubectl('delete', pod, '--grace-period=0', '--force')
/** As docs/kubernetes.md has it. */
const restartServices = () => {
  kubectl('rollout', 'restart', ...deployments)
  rolledOut()
}
const until = async (condition, seconds = 120) => {
  for (let i = 0; i < seconds; i++) {
    if (condition()) return
    await pause(1_000)
  }
  throw new Error('not within time')
}
const denyAll = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'deny-all', namespace: NAMESPACE },
  spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'] },
}
const command = name => process.env[name] && (() => run('sh', ['-c', process.env[name]]))

const FROM_EARLIER = 'from an earlier image, with migrations'
/** Each under load; the load is at the first node, so nothing of it goes with the second one. */
const STEPS = {
  [FROM_EARLIER]: earlierTag && (() => helm('upgrade')),
  'upgrade (all pods anew)': () => helm('upgrade', { commonLabels: { round: 'two' } }),
  rollback: () => run(K8S_LAB, ['helm', 'rollback', 'parsec', '--namespace', NAMESPACE, '--wait', '--force-conflicts']),
  'an earlier image and back, twice':
    earlierTag &&
    (() => {
      helm('upgrade', { 'image.tag': earlierTag }, '--force-conflicts')
      helm('upgrade', {}, '--force-conflicts')
      run(K8S_LAB, ['helm', 'rollback', 'parsec', '--namespace', NAMESPACE, '--wait', '--force-conflicts'])
      helm('upgrade', {}, '--force-conflicts')
    }),
  'scale by hand and upgrade': () => {
    kubectl('scale', 'deployment/parsec-gateway', '--replicas=3')
    rolledOut()
    helm('upgrade', { commonLabels: { round: 'three' } }, '--force-conflicts')
  },
  'autoscaling on and off': () => {
    kubectl('scale', 'deployment/parsec-gateway', '--replicas=3')
    helm('upgrade', { 'gateway.autoscaling': { enabled: true, minReplicas: 3, maxReplicas: 5 } })
    rolledOut()
    helm('upgrade', { 'gateway.replicas': 3 }, '--force-conflicts')
  },
  'everything forbidden by the namespace': () => {
    apply(denyAll)
    helm('upgrade', { commonLabels: { round: 'four' } }, '--force-conflicts')
    run(K8S_LAB, ['helm', 'test', 'parsec', '--namespace', NAMESPACE])
    kubectl('delete', 'networkpolicy', 'deny-all')
  },
  'a uid of its own (restricted pod security)': () => {
    const own = { runAsUser: 1_000_730_000, runAsGroup: 1_000_730_000, fsGroup: 1_000_730_000 }
    helm('upgrade', { 'defaults.podSecurityContext': own }, '--force-conflicts')
    helm('upgrade', {}, '--force-conflicts')
  },
  'drain of a node': () => {
    lab('kubectl', 'drain', 'node2', '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=300s')
    rolledOut()
    lab('kubectl', 'uncordon', 'node2')
  },
  'each service at one pod, three, one, two': async () => {
    for (const replicas of [1, 3, 1, 2]) {
      for (const name of deployments) kubectl('scale', name, `--replicas=${replicas}`)
      rolledOut()
      await pause(5_000)
    }
  },
  'a pod of each service killed': () => {
    for (const name of SERVICES) {
      kill(podsOf(name)[0])
      rolledOut()
    }
  },
  'a NATS server killed': () => {
    kill(podsOf('nats')[0])
    rolledOut()
  },
  'NATS servers killed one after the other': () => {
    for (const pod of podsOf('nats')) {
      kill(pod)
      rolledOut()
    }
  },
  'a wrong password of the database': async () => {
    secret({ ...secrets, PARSEC_DB: K8S_DB.replace(/:[^:@]*@/, ':wrong@') })
    kubectl('rollout', 'restart', 'deployment/parsec-metadata')
    await until(() => /CrashLoopBackOff/.test(kubectl('get', 'pods').stdout))
    const newest = podsOf('metadata').at(-1)
    if (!/password authentication failed/.test(kubectl('logs', newest, '--tail=1').stdout))
      throw new Error('the log does not say that the password is wrong')
    secret(secrets)
    kubectl('rollout', 'restart', 'deployment/parsec-metadata')
    rolledOut()
  },
  'another administration token': () => {
    secret(Object.assign(secrets, { PARSEC_ADMINISTRATION_TOKEN: password() }))
    restartServices()
    run(K8S_LAB, ['helm', 'test', 'parsec', '--namespace', NAMESPACE])
  },
  'other passwords of NATS': () => {
    secret(Object.assign(secrets, natsPasswords()))
    kubectl('rollout', 'restart', 'deployment/parsec-nats')
    kubectl('rollout', 'status', 'deployment/parsec-nats', '--timeout=300s')
    restartServices()
  },
  'broker away for 60 s': async () => {
    kubectl('scale', 'deployment/parsec-nats', '--replicas=0')
    await pause(AWAY_MS)
    kubectl('scale', 'deployment/parsec-nats', '--replicas=3')
    rolledOut()
  },
  'database away for 60 s':
    command('K8S_DB_STOP') &&
    (async () => {
      command('K8S_DB_STOP')()
      await pause(AWAY_MS)
      command('K8S_DB_START')()
      rolledOut()
    }),
  'loss of a node': async () => {
    lab('stop-node', '2')
    await pause(AWAY_MS * 2)
    lab('start-node', '2')
    lab('kubectl', 'wait', '--for=condition=Ready', 'node/node2', '--timeout=300s')
    rolledOut()
  },
}

const rows = []
const wanted = Object.entries(STEPS).filter(([name, step]) => step && (!K8S_ONLY || K8S_ONLY.split(';').includes(name)))
prepare()
const began = performance.now()
helm('install', wanted.some(([name]) => name === FROM_EARLIER) ? { 'image.tag': earlierTag } : {})
rows.push(['install, as the docs say', '–', '–', '–', `${Math.round((performance.now() - began) / 1000)} s`])
run(K8S_LAB, ['helm', 'test', 'parsec', '--namespace', NAMESPACE])
rows.push(['helm test', '–', '–', '–', 'passed'])
const load = new Load()
await load.start(nodes[0])
for (const [name, step] of wanted) {
  await load.mark('before')
  let outcome = 'done'
  try {
    await step()
    await pause(5_000)
  } catch (error) {
    outcome = `FAILED: ${error.message.slice(0, 300).replaceAll('\n', ' ')}`
    process.exitCode = 1
  }
  const { answered, cutOff, refused, reasons, longestMs } = await load.mark(name)
  rows.push([name, answered, cutOff + refused, `${(longestMs / 1000).toFixed(1)} s`, outcome])
  console.log(rows.at(-1).join(' | '))
  for (const [reason, count] of reasons) console.log(`    ${count} × ${reason}`)
}
const { writes, lost } = await load.end()
console.log(`\n| What | Answered | Cut off or refused | Longest without an answer | Outcome |\n|---|---|---|---|---|`)
for (const row of rows) console.log(`| ${row.join(' | ')} |`)
console.log(`\nAcknowledged writes: ${writes}, lost: ${lost}`)
if (lost > 0) process.exitCode = 1
