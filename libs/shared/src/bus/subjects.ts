/** Every subject of the bus, without what a deployment's subjects begin with at its brokers. */
import type { ServiceName } from '../protocol/command.ts'
import type { OrganizationID } from '../protocol/types.ts'

export const command = (service: ServiceName, name: string): string => `cmd.${service}.${name}`
export const everyCommandOf = (service: ServiceName): string => `cmd.${service}.*`

export const internal = (service: ServiceName, name: string): string => `internal.${service}.${name}`
export const everyInternalOf = (service: ServiceName): string => `internal.${service}.*`

/** Events for clients; a gateway listens only while a client of that organization has subscribed. */
export const clientEvents = (organization_id: OrganizationID): string => `event.${token(organization_id)}.client`
/** Orders to gateways about their connections of an organization. */
export const controlEvents = (organization_id: OrganizationID): string => `event.${token(organization_id)}.control`

/** Metadata services say here that they are there, and on which database. */
export const presence = 'presence.metadata'

/** Somebody wants to know which replicas there are; each says so on the roll of its service. */
export const rollCall = 'roll.call'
export const roll = (service: ServiceName): string => `roll.${service}`
export const everyRoll = 'roll.*'
/** Asks one replica. */
export const requestTo = (service: ServiceName, replica: string, name: string): string =>
  `replica.${service}.${replica}.${name}`
export const everyRequestTo = (service: ServiceName, replica: string): string => `replica.${service}.${replica}.*`

/** What the process that watches the workers of a server tells all of them, and what they tell it. */
export const workersStop = 'workers.stop'
export const workersReload = 'workers.reload'
export const workerReady = 'workers.ready'
export const workerRequest = (worker: number, name: string): string => `worker.${worker}.${name}`

/** An id as one subject token: ASCII letters, digits, `_` and `-` stay, any other byte of its UTF-8 form becomes `=XX`. */
export const token = (id: string): string =>
  /^[A-Za-z0-9_-]+$/.test(id)
    ? id
    : [...Buffer.from(id)]
        .map(byte =>
          /[A-Za-z0-9_-]/.test(String.fromCharCode(byte))
            ? String.fromCharCode(byte)
            : `=${byte.toString(16).padStart(2, '0')}`,
        )
        .join('')

/** Whether a subject falls under a pattern. */
export function matches(pattern: string, subject: string): boolean {
  if (pattern === subject) return true
  const [want, have] = [pattern.split('.'), subject.split('.')]
  for (const [i, part] of want.entries()) {
    if (part === '>') return have.length > i
    if (i >= have.length || (part !== '*' && part !== have[i])) return false
  }
  return want.length === have.length
}

/** The last token: the name of a command or an internal request. */
export const nameOf = (subject: string): string => subject.slice(subject.lastIndexOf('.') + 1)
