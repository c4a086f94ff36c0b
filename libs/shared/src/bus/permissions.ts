/**
 * What each service says and hears on the bus, and nothing else: the rights that a broker should give it. The chart's NATS
 * is configured with these, and `tests/bus/permissions.test.ts` tries them on a real one.
 */
import type { ServiceName } from '../protocol/command.ts'
import { type InternalName, internalRequests } from '../protocol/internal.ts'
import { DEFAULT_PREFIX } from './nats.ts'

export type Permissions = { readonly publish: readonly string[]; readonly subscribe: readonly string[] }

const rightsOf = (service: ServiceName): Permissions => {
  const asks = (Object.keys(internalRequests) as InternalName[])
    .filter(name => internalRequests[name].from.includes(service))
    .map(name => `internal.${internalRequests[name].service}.${name}`)
  const own = {
    gateway: { publish: ['cmd.metadata.*', 'cmd.blockstore.*'], subscribe: ['event.*.*'] },
    metadata: {
      publish: ['event.*.*', 'presence.metadata'],
      subscribe: ['presence.metadata', 'cmd.metadata.*', 'internal.metadata.*'],
    },
    blockstore: { publish: [], subscribe: ['cmd.blockstore.*', 'internal.blockstore.*'] },
    admin: { publish: ['roll.call', 'replica.*.*.*'], subscribe: ['roll.*'] },
  }[service]
  return {
    publish: [`roll.${service}`, ...own.publish, ...asks],
    subscribe: [`inbox.${service}.>`, 'roll.call', `replica.${service}.*.*`, ...own.subscribe],
  }
}

/** Whoever asks or is asked also talks about the request, one token further. */
const withTalk = (subject: string): string[] =>
  /^(?:cmd|internal|replica)\./.test(subject) ? [subject, `${subject}.caller`] : [subject]

export function permissionsOf(service: ServiceName, prefix = DEFAULT_PREFIX): Permissions {
  const { publish, subscribe } = rightsOf(service)
  const complete = (subjects: readonly string[]) => subjects.flatMap(withTalk).map(subject => `${prefix}.${subject}`)
  return { publish: complete(publish), subscribe: complete(subscribe) }
}
