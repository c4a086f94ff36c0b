/**
 * What must hold of any history, whatever was killed, cut or stopped meanwhile: an acknowledged change is there, exactly
 * as it was, exactly once; nothing happened that nobody asked for; everybody saw one order; nobody acted beyond their
 * role; every change was told once or the connection closed. Each violation is one line.
 */
import type { Final, History, Listening, Read, RoleChange, Write } from './history.ts'

const MAY_WRITE: ReadonlySet<string | null> = new Set(['OWNER', 'MANAGER', 'CONTRIBUTOR'])

export function violations(history: History, final: Final): string[] {
  const { entries } = history
  const writes = entries.filter(e => e.kind === 'write')
  const reads = entries.filter(e => e.kind === 'read' && e.outcome === 'ok') as Read[]
  const roles = entries.filter(e => e.kind === 'role')
  return [
    ...history.overdue.map(what => `neither answered nor cut off: ${what}`),
    ...versions(writes, final),
    ...order(writes, reads, final),
    ...changeLogs(final),
    ...rolesObeyed([...writes.filter(w => w.outcome === 'ok'), ...reads], roles),
    ...blocks(history, final),
    ...inboxes(roles, final),
    ...history.listening.flatMap(session => [...told(session, roles, final)]),
  ]
}

/** Acknowledged means durable and exact; every version is one that somebody wrote, and none is acknowledged twice. */
function* versions(writes: readonly Write[], { versions }: Final): Iterable<string> {
  const acknowledged = new Map<string, Write>()
  for (const write of writes.filter(w => w.outcome === 'ok')) {
    const place = `${write.vlob} ${write.version}`
    if (acknowledged.has(place)) yield `version acknowledged twice: ${place}`
    acknowledged.set(place, write)
    if (versions.get(write.vlob)?.[write.version - 1] !== write.payload) yield `acknowledged version lost: ${place}`
  }
  const byPayload = new Map(writes.map(w => [`${w.vlob} ${w.version} ${w.payload}`, w]))
  for (const [vlob, payloads] of versions)
    for (const [i, payload] of payloads.entries()) {
      const author = byPayload.get(`${vlob} ${i + 1} ${payload}`)
      if (!author) yield `version that nobody wrote: ${vlob} ${i + 1}`
      else if (author.outcome !== 'ok' && author.outcome !== 'lost')
        yield `version whose writer was told ${author.outcome}: ${vlob} ${i + 1}`
    }
}

/** Versions are one chain that all saw: a read is neither older than what was acknowledged before it, nor from the future. */
function* order(writes: readonly Write[], reads: readonly Read[], { versions }: Final): Iterable<string> {
  const byVlob = Map.groupBy(writes, write => write.vlob)
  for (const read of reads) {
    const mine = byVlob.get(read.vlob) ?? []
    const known = Math.max(0, ...mine.filter(w => w.outcome === 'ok' && w.end < read.start).map(w => w.version))
    const begun = Math.max(0, ...mine.filter(w => w.start < read.end).map(w => w.version))
    if (read.version < known) yield `stale read of ${read.vlob}: ${read.version}, ${known} was acknowledged before`
    if (read.version > begun) yield `read from the future of ${read.vlob}: ${read.version}`
    if (versions.get(read.vlob)?.[read.version - 1] !== read.payload)
      yield `read of what is not there: ${read.vlob} ${read.version}`
  }
  for (const [vlob, mine] of byVlob) {
    const latest = [...reads.filter(r => r.vlob === vlob)].sort((a, b) => a.end - b.end)
    let seen = 0
    for (const read of latest) {
      // Reads that overlap may be seen in any order.
      const before = latest.filter(r => r.end < read.start)
      seen = Math.max(0, ...before.map(r => r.version))
      if (read.version < seen) yield `${vlob} went back from ${seen} to ${read.version}`
    }
    for (const refused of mine.filter(w => w.outcome === 'bad_version')) {
      const wasNext = mine.some(w => w.version === refused.version - 1 && w.outcome === 'ok' && w.end < refused.start)
      const taken = mine.some(w => w !== refused && w.version >= refused.version && w.start < refused.end)
      if (wasNext && !taken) yield `bad_version for the next version of ${vlob}: ${refused.version}`
    }
  }
}

function* changeLogs({ realms }: Final): Iterable<string> {
  for (const [realm, { checkpoint, changes, first, last }] of realms)
    if (changes !== checkpoint || (changes > 0 && (first !== 1 || last !== checkpoint)))
      yield `change log of ${realm} is not 1…${checkpoint}: ${changes} from ${first} to ${last}`
}

/** Between the answer to a removal and the request of the next grant nothing may succeed. */
function* rolesObeyed(done: readonly (Write | Read)[], roles: readonly RoleChange[]): Iterable<string> {
  for (const entry of done) {
    const allows = (role: string | null) => (entry.kind === 'write' ? MAY_WRITE.has(role) : role !== null)
    const mine = roles.filter(r => r.realm === entry.realm && r.user === entry.user)
    const removal = mine.filter(r => r.outcome === 'ok' && r.end < entry.start).sort((a, b) => b.end - a.end)[0]
    if (!removal || allows(removal.role)) continue
    const granted = mine.some(
      r =>
        r.start > removal.start &&
        r.start < entry.end &&
        allows(r.role) &&
        (r.outcome === 'ok' || r.outcome === 'lost'),
    )
    if (!granted) yield `${entry.kind} by ${entry.user} in ${entry.realm} after the role ${removal.role}`
  }
}

function* blocks({ entries }: History, { blocks }: Final): Iterable<string> {
  for (const entry of entries)
    if (entry.kind === 'block' && entry.outcome === 'ok' && !blocks.get(entry.block)?.equals(entry.bytes))
      yield `acknowledged block lost or altered: ${entry.block}`
}

/** Dense, and each acknowledged message once. */
function* inboxes(roles: readonly RoleChange[], { inboxes }: Final): Iterable<string> {
  for (const [user, messages] of inboxes) {
    for (const [i, { index }] of messages.entries())
      if (index !== i + 1) yield `inbox of ${user}: ${index} at place ${i + 1}`
    const times = Map.groupBy(messages, message => message.body)
    for (const change of roles.filter(r => r.user === user)) {
      const found = times.get(change.message)?.length ?? 0
      if (found > 1) yield `inbox of ${user}: a message twice`
      if (found === 0 && change.outcome === 'ok') yield `inbox of ${user}: an acknowledged message is missing`
    }
  }
}

/** One subscribed connection: changes told once and in order, and all of them if it is still open. */
function* told(session: Listening, roles: readonly RoleChange[], { realms }: Final): Iterable<string> {
  for (const [realm, from] of session.caughtUp) {
    let next = from + 1
    for (const [at, checkpoint] of session.changes) {
      if (at !== realm || checkpoint <= from) continue
      if (checkpoint !== next) yield `${session.user} was told ${checkpoint} of ${realm} instead of ${next}`
      next = checkpoint + 1
    }
    const newest = realms.get(realm)?.checkpoint ?? 0
    if (session.end === undefined && next <= newest)
      yield `${session.user} was never told ${next}…${newest} of ${realm}, and its connection is open`
  }
  if (session.end !== undefined) return
  const granted = roles.filter(r => r.user === session.user && r.outcome === 'ok' && r.start > session.start)
  const heard = session.roles.length
  if (heard < granted.length)
    yield `${session.user} was told ${heard} of ${granted.length} role changes, and its connection is open`
}
