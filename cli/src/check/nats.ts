/** The NATS servers, as the services of this process would use them. */
import { noticesVanished } from '@parsec/shared/bus/nats'
import { probeNats } from '@parsec/shared/bus/nats-probe'
import { permissionsOf } from '@parsec/shared/bus/permissions'
import { MAX_CLIENT_MESSAGE_BYTES, MAX_ENVELOPE_BYTES } from '@parsec/shared/bus/rpc'
import type { ServiceName } from '@parsec/shared/protocol/command'
import type { NatsSettings } from '../settings.ts'
import { type Finding, Findings } from './finding.ts'

const MOST_NAMED = 3

export async function checkNats(nats: NatsSettings, services: readonly ServiceName[]): Promise<Finding[]> {
  const findings = new Findings('NATS')
  const rights = services.map(service => permissionsOf(service, nats.subjectPrefix))
  const all = (pick: 'publish' | 'subscribe') => [...new Set(rights.flatMap(right => right[pick]))]
  await findings.look('check --nats-url, its credentials and the network', async () => {
    const { url, credsFile, tls, subjectPrefix } = nats
    const { version, maxPayload, isSecure, refused } = await probeNats(
      {
        url,
        name: 'parsec backend check',
        prefix: subjectPrefix,
        inbox: services.join('-'),
        ...(credsFile && { credsFile }),
        ...(tls && { tls }),
      },
      { publish: all('publish'), subscribe: all('subscribe') },
    )
    findings.ok(`nats-server ${version}, ${isSecure ? 'with' : 'without'} TLS`)
    if (!noticesVanished(version))
      findings.warn(
        'a service that vanishes without a word keeps its share of requests for minutes',
        'run nats-server 2.9.16 or later',
      )
    const wanted = MAX_CLIENT_MESSAGE_BYTES + MAX_ENVELOPE_BYTES
    if (maxPayload >= wanted) findings.ok(`max_payload is ${maxPayload}`)
    else
      findings.warn(
        `max_payload is ${maxPayload}: messages of clients may have no more`,
        `set max_payload: 17MB in nats-server.conf (${wanted} or more)`,
      )
    if (refused.length === 0) findings.ok(`${services.join(', ')} may hear and say what they need`)
    else {
      const named = refused.slice(0, MOST_NAMED).map(({ operation, subject }) => `${operation} ${subject}`)
      const more = refused.length > MOST_NAMED ? ` and ${refused.length - MOST_NAMED} more` : ''
      findings.fail(`refused: ${named.join(', ')}${more}`, 'give the user the permissions of k8s/manifests/nats.conf')
    }
  })
  return findings.list
}
