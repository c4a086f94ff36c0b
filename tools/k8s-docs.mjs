/**
 * `npm run k8s:docs`: docs/kubernetes.md, step by step as it is written, on a real Kubernetes for trials. What is run are the
 * `sh` blocks of the page; `my-values.yaml` is its `yaml` block. Ten minutes, by hand. Variables as in tools/k8s-lab.mjs:
 * K8S_LAB, K8S_NODES, K8S_DB, K8S_BLOCKSTORE, K8S_CA.
 *
 * Beside the page there are only its passwords, files that it says one has (a certificate), what stands in for the Ingress
 * controller, and values that the page describes elsewhere (a private authority, a volume for dumps).
 */
import { spawnSync } from 'node:child_process'
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

const ROOT = path.join(import.meta.dirname, '..')
const HTTPS_PORT = 31443
const { K8S_LAB, K8S_NODES, K8S_DB, K8S_BLOCKSTORE, K8S_CA } = process.env
for (const [name, value] of Object.entries({ K8S_LAB, K8S_NODES, K8S_DB, K8S_BLOCKSTORE }))
  if (!value) throw new Error(`${name} is needed: see the head of tools/k8s-lab.mjs`)
const [node] = K8S_NODES.split(',')

const page = readFileSync(path.join(ROOT, 'docs/kubernetes.md'), 'utf8')
const folder = mkdtempSync(path.join(tmpdir(), 'parsec-k8s-docs-'))

/** The blocks of a section in their order. */
function blocks(heading, language) {
  const section = page.split(/^## /m).find(text => text.startsWith(`${heading}\n`))
  if (!section) throw new Error(`the page has no section ${heading}`)
  return [...section.matchAll(/^```(\w*)\n([\s\S]*?)^```/gm)]
    .filter(([, kind]) => kind === language)
    .map(([, , text]) => text)
}
/** What stands for something of one's own; it must be there. */
function fill(text, own) {
  let filled = text
  for (const [example, value] of Object.entries(own)) {
    if (!filled.includes(example)) throw new Error(`${example} is not in:\n${text}`)
    filled = filled.replaceAll(example, () => value)
  }
  return filled
}

/** Tools of the cluster, under their names; values of the trial beside those of the page. */
const TOOLS = `set -eu
kubectl() { "$K8S_LAB" kubectl "$@"; }
helm() {
  case "$1" in
    install | upgrade) "$K8S_LAB" helm "$@" --values trial.yaml ;;
    *) "$K8S_LAB" helm "$@" ;;
  esac
}
curl() { "$K8S_LAB" exec curl --fail --silent --show-error --cacert fullchain.pem --connect-to parsec.example.com:443:${node}:${HTTPS_PORT} "$@"; }
`
function sh(what, script, input = '') {
  const began = performance.now()
  const { status, stdout, stderr } = spawnSync('bash', ['-c', TOOLS + script], { cwd: folder, encoding: 'utf8', input })
  const seconds = ((performance.now() - began) / 1000).toFixed(0)
  console.log(`${what.padEnd(60)} ${status === 0 ? 'ok' : 'FAILED'} ${seconds} s`)
  if (status !== 0) throw new Error(`${what}:\n${script}\n${stdout}${stderr}`)
  return stdout
}
const write = (name, text) => writeFileSync(path.join(folder, name), text)

/** What the page takes for granted. */
function prepare() {
  cpSync(path.join(ROOT, 'k8s'), path.join(folder, 'k8s'), { recursive: true })
  const trial = { backup: { enabled: true, volume: { emptyDir: {} } }, metadata: {}, blockstore: {} }
  if (K8S_CA) {
    Object.assign(trial, {
      volumes: [{ name: 'ca', configMap: { name: 'ca' } }],
      volumeMounts: [{ name: 'ca', mountPath: '/etc/parsec', readOnly: true }],
    })
    trial.blockstore.env = [{ name: 'AWS_CA_BUNDLE', value: '/etc/parsec/ca.pem' }]
  }
  write('trial.yaml', JSON.stringify(trial))
  sh(
    'a certificate',
    `openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=parsec.example.com \
       -addext subjectAltName=DNS:parsec.example.com -keyout privkey.pem -out fullchain.pem 2>/dev/null
     kubectl delete namespace parsec ingress-nginx --ignore-not-found --wait`,
  )
}
/** In place of the Ingress controller: ends TLS and sends the paths of the Ingress to their services. */
function controller() {
  const program = `
    const { readFileSync: read } = require('fs'), http = require('http')
    const to = url => url.startsWith('/administration') ? 'parsec-admin' : 'parsec-gateway'
    const server = require('https').createServer({ cert: read('/tls/tls.crt'), key: read('/tls/tls.key') })
    const ask = (q, more) => http.request({ host: to(q.url) + '.parsec.svc', port: 6777, path: q.url, method: q.method,
      headers: { ...q.headers, 'x-forwarded-proto': 'https', 'x-forwarded-for': q.socket.remoteAddress }, ...more })
    server.on('request', (q, a) => q.pipe(ask(q).on('error', () => a.writeHead(502).end())
      .on('response', r => { a.writeHead(r.statusCode, r.headers); r.pipe(a) })))
    server.listen(8443)`
  const labels = { app: 'controller' }
  const metadata = { name: 'controller', namespace: 'ingress-nginx' }
  const image = 'registry.example.com/parsec-server:0.1.0'
  const spec = {
    containers: [
      { name: 'node', image, command: ['node', '-e', program], volumeMounts: [{ name: 'tls', mountPath: '/tls' }] },
    ],
    volumes: [{ name: 'tls', secret: { secretName: 'parsec-tls' } }],
  }
  const objects = [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { type: 'NodePort', selector: labels, ports: [{ port: 443, targetPort: 8443, nodePort: HTTPS_PORT }] },
    },
  ]
  sh(
    'what stands for the Ingress controller',
    `kubectl create namespace ingress-nginx
     kubectl --namespace ingress-nginx create secret tls parsec-tls --cert=fullchain.pem --key=privkey.pem
     kubectl apply -f -
     kubectl --namespace ingress-nginx rollout status deployment/controller --timeout=120s`,
    JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }),
  )
}
/** What the page and the overlay have as examples. */
const OWN = {
  'postgresql://parsec:PASSWORD@db.example.com/parsec': K8S_DB,
  's3:https\\://s3.example.com:REGION:BUCKET:KEY:SECRET': K8S_BLOCKSTORE,
}
const READY =
  'for d in gateway metadata blockstore admin; do kubectl -n parsec rollout status deployment/parsec-$d --timeout=300s; done'
/** A private authority, as a patch of the overlay. */
const AUTHORITY = ['Deployment/metadata', 'Deployment/blockstore', 'Job/migrate']
  .map(place => place.split('/'))
  .map(
    ([kind, name]) => `  - target: { kind: ${kind}, name: parsec-${name} }
    patch: |-
      - { op: add, path: /spec/template/spec/volumes/-, value: { name: ca, configMap: { name: ca } } }
      - { op: add, path: /spec/template/spec/containers/0/volumeMounts/-, value: { name: ca, mountPath: /etc/parsec } }
      - { op: add, path: /spec/template/spec/containers/0/env/-, value: { name: AWS_CA_BUNDLE, value: /etc/parsec/ca.pem } }
`,
  )
  .join('')

function withoutHelm() {
  const [commands] = blocks('Without Helm', 'sh')
  const [copy, ...rest] = commands.trim().split('\n')
  sh('an overlay of your own', copy)
  const secrets = path.join(folder, 'k8s/acme/secret.env')
  writeFileSync(secrets, fill(readFileSync(secrets, 'utf8'), OWN))
  const authority = K8S_CA ? `kubectl --namespace parsec create configmap ca --from-file=ca.pem='${K8S_CA}'` : ''
  if (K8S_CA) appendFileSync(path.join(folder, 'k8s/acme/kustomization.yaml'), AUTHORITY)
  sh('kubectl apply', rest.toSpliced(-1, 0, authority).join('\n'))
  sh('the migration', 'kubectl --namespace parsec wait --for=condition=Complete job/parsec-migrate --timeout=300s')
  sh('all are ready', READY)
  const [, remove] = /remove the old one,\s+`(kubectl [^`]*)`/.exec(page)
  sh('applied again', [remove, rest.at(-1), READY].join('\n'))
  sh('removed', 'kubectl delete namespace parsec --wait')
}

try {
  prepare()
  const [values] = blocks('Ten minutes', 'yaml')
  write('my-values.yaml', values)
  const [secrets, install] = blocks('Ten minutes', 'sh')
  sh('secrets', fill(secrets, OWN))
  if (K8S_CA) sh('a private authority', `kubectl --namespace parsec create configmap ca --from-file=ca.pem='${K8S_CA}'`)
  controller()
  const answer = sh('install, helm test, first organization', install)
  if (!/bootstrap_token/.test(answer)) throw new Error(`no bootstrap token:\n${answer}`)
  sh('upgrade', 'helm upgrade parsec k8s/parsec --namespace parsec --values my-values.yaml --wait')
  const [restart] = blocks('Upgrade', 'sh')
  sh('restart after a change of secrets', restart)
  sh('it ends', READY)
  const [rollback] = blocks('Rollback', 'sh')
  sh('rollback', rollback)
  const [scale] = blocks('Scaling', 'sh')
  const autoscaling = 'gateway: {autoscaling: {enabled: true, minReplicas: 3, maxReplicas: 20}, drainSeconds: 60}'
  fill(blocks('Scaling', 'yaml').join(''), { [autoscaling]: '' })
  write('my-values.yaml', `${values}\n${autoscaling}\n`)
  sh('autoscaling on', scale)
  const [scrub] = blocks('Scrub', 'sh')
  sh('scrub by hand', scrub)
  const [, dump] = /`(kubectl --namespace parsec create job dump-now[^`]*)`/.exec(page)
  sh('dump by hand', dump)
  sh(
    'uninstall',
    'helm uninstall parsec --namespace parsec --wait; kubectl delete namespace parsec ingress-nginx --wait',
  )
  withoutHelm()
  console.log('\nThe page holds.')
} finally {
  rmSync(folder, { recursive: true, force: true })
}
