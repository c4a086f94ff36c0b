/** What the clients of a randomized run asked for and were told, as the checker reads it. Times are `performance.now()`. */
import type { RealmRole } from '../../harness/client.ts'

/** Answered with that status, or never: the connection was lost, and nobody knows whether it happened. */
export type Outcome = string | 'lost'
export type Span = { readonly start: number; end: number; outcome: Outcome }

export type Write = Span & {
  readonly kind: 'write'
  readonly user: string
  readonly realm: string
  readonly vlob: string
  readonly version: number
  /** What is behind the encryption: the same after a re-encryption. */
  readonly payload: string
}
export type Read = Span & {
  readonly kind: 'read'
  readonly user: string
  readonly realm: string
  readonly vlob: string
  /** Told by the reply. */
  version: number
  payload: string
}
export type Block = Span & {
  readonly kind: 'block'
  readonly realm: string
  readonly block: string
  readonly bytes: Buffer
}
export type RoleChange = Span & {
  readonly kind: 'role'
  readonly realm: string
  readonly user: string
  readonly role: RealmRole | null
  /** Body of the message to the recipient, in hex. */
  readonly message: string
}
export type Entry = Write | Read | Block | RoleChange
type Of<K extends Entry['kind']> = Extract<Entry, { kind: K }>

/** One subscribed connection, from the moment that it had caught up until it ended. */
export type Listening = {
  readonly user: string
  readonly start: number
  /** Undefined while it is open. */
  end: number | undefined
  /** Newest change of each realm when it had caught up. */
  readonly caughtUp: ReadonlyMap<string, number>
  /** Realm and change index, in the order that they were told. */
  readonly changes: [realm: string, checkpoint: number][]
  /** Realms whose role was told to have changed, in order. */
  readonly roles: [realm: string, role: RealmRole | null][]
}

/** What is there when everything has settled. */
export type Final = {
  /** Vlob → payloads of its versions from 1 on, read through a gateway. */
  readonly versions: ReadonlyMap<string, readonly string[]>
  /** Realm → newest change, and the number of changes that the log has. */
  readonly realms: ReadonlyMap<string, { checkpoint: number; changes: number; first: number; last: number }>
  readonly blocks: ReadonlyMap<string, Buffer>
  /** User → bodies of the inbox in order, in hex, with their indices. */
  readonly inboxes: ReadonlyMap<string, readonly { index: number; body: string }[]>
}

export class History {
  readonly entries: Entry[] = []
  readonly listening: Listening[] = []
  /** Commands that were neither answered nor cut off in time. */
  readonly overdue: string[] = []

  /** Notes an entry while it runs: what is lost half way is in the history, too. */
  async note<K extends Entry['kind']>(
    entry: { kind: K } & Omit<Of<K>, 'kind' | keyof Span>,
    run: (entry: Of<K>) => Promise<Outcome>,
  ): Promise<Outcome> {
    const span: Span = { start: performance.now(), end: Number.POSITIVE_INFINITY, outcome: 'lost' }
    const noted = { ...entry, ...span } as Of<K>
    this.entries.push(noted)
    noted.outcome = await run(noted)
    if (noted.outcome !== 'lost') noted.end = performance.now()
    return noted.outcome
  }
}
