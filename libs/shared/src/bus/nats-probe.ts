/**
 * Looks at NATS servers as a service with these rights would use them, and disturbs nobody: what is heard is not answered,
 * what is said says nothing.
 */
import { errors } from '@nats-io/transport-node'
import { dialOnce, type NatsOptions } from './nats.ts'
import type { Permissions } from './permissions.ts'

export type NatsProbe = {
  version: string
  maxPayload: number
  isSecure: boolean
  /** Subjects that the servers refuse. */
  refused: { operation: 'publish' | 'subscription'; subject: string }[]
}

/** `permissions`: with their prefix. Rejects with what the servers, or the network, say. */
export async function probeNats(options: Omit<NatsOptions, 'log'>, permissions: Permissions): Promise<NatsProbe> {
  const nats = await dialOnce(options)
  const refused: NatsProbe['refused'] = []
  const note = (error: unknown) => {
    if (error instanceof errors.PermissionViolationError)
      refused.push({ operation: error.operation, subject: error.subject })
  }
  const watching = (async () => {
    for await (const status of nats.status()) if (status.type === 'error') note(status.error)
  })()
  const { version, max_payload, tls_required = false } = nats.info!
  try {
    for (const subject of permissions.subscribe) nats.subscribe(subject, { callback: error => note(error) })
    for (const subject of permissions.publish.filter(isHarmless)) nats.publish(subject.replaceAll('*', '-'))
    await nats.flush()
  } finally {
    await nats.close()
    // What was refused to be said is told here, a little later.
    await watching
  }
  const known = new Map(refused.map(one => [`${one.operation} ${one.subject}`, one]))
  return { version, maxPayload: max_payload, isSecure: tls_required, refused: [...known.values()] }
}

/** On the others an empty message would be taken for a request, or a presence. */
const isHarmless = (subject: string): boolean => /\.caller$|\.event\.\*\.\*$|\.roll\.call$/.test(subject)
