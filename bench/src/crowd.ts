/**
 * The load of a crowd: many subscribers of one gateway, each a user of its own, and a writer elsewhere. Preparing and
 * telling are jobs of their own, so that what they cost the gateway can be told apart.
 */
import { DateTime, Uuid } from '@parsec/shared/codec/values'
import { connect, decodeReply, type Identity, signingKeyOf, type Wire } from './client.ts'
import { LISTEN, openMany } from './fanout.ts'

/** Every identity opens a connection and subscribes. */
export type CrowdOpenJob = { job: 'crowd: open'; url: string; identities: readonly Identity[] }
/** Each of the crowd asks for an event. */
export type CrowdListenJob = { job: 'crowd: listen' }
export type Version = { vlob: string; version: number }
/**
 * The author writes these versions, those of a step at once, each on a connection of its own; or pings when there are
 * none. A step is over when the crowd has heard `deliveries` events. `again`: whoever has one asks for the next.
 */
export type CrowdTellJob = {
  job: 'crowd: tell'
  url: string
  author: Identity
  steps: readonly (readonly Version[])[]
  deliveries: number
  again: boolean
}
export type CrowdCloseJob = { job: 'crowd: close' }
export type CrowdJob = CrowdOpenJob | CrowdListenJob | CrowdTellJob | CrowdCloseJob

const crowd: Wire[] = []
const heard = { again: false, missing: 0, done: () => {}, failed: (_: Error) => {} }

export async function runCrowdJob(job: CrowdJob): Promise<null> {
  switch (job.job) {
    case 'crowd: open':
      crowd.push(...(await openMany(job.identities.length, i => subscribe(job.url, job.identities[i]!))))
      break
    case 'crowd: listen':
      for (const wire of crowd) wire.sendFrame(LISTEN)
      break
    case 'crowd: tell':
      await tell(job)
      break
    case 'crowd: close':
      for (const wire of crowd.splice(0)) wire.close()
  }
  return null
}

async function subscribe(url: string, identity: Identity): Promise<Wire> {
  const wire = await connect(url, identity, signingKeyOf(identity))
  await wire.request({ cmd: 'events_subscribe' })
  wire.listen(
    message => {
      const { status, event } = decodeReply(message)
      if (status !== 'ok' || event === undefined) return heard.failed(new Error(`not an event: ${status}`))
      if (heard.again) wire.sendFrame(LISTEN)
      if (--heard.missing === 0) heard.done()
    },
    error => heard.failed(error),
  )
  return wire
}

async function tell({ url, author, steps, deliveries, again }: CrowdTellJob): Promise<void> {
  const key = signingKeyOf(author)
  const writers = Math.max(1, ...steps.map(step => step.length))
  const wires = await Promise.all(Array.from({ length: writers }, () => connect(url, author, key)))
  const heardOf = (say: () => Promise<unknown>[]) => {
    const delivered = new Promise<void>((done, failed) => {
      Object.assign(heard, { again, missing: deliveries, done, failed })
    })
    return Promise.all([delivered, ...say()])
  }
  if (steps.length === 0) await heardOf(() => wires.map(wire => wire.request({ cmd: 'ping', ping: 'crowd' })))
  for (const step of steps) await heardOf(() => step.map((version, i) => write(wires[i]!, version)))
  for (const wire of wires) wire.close()
}

function write(wire: Wire, { vlob, version }: Version): Promise<unknown> {
  const vlob_id = Uuid.parse(vlob)!
  const blob = Buffer.alloc(300)
  const timestamp = DateTime.now()
  const about = { encryption_revision: 1, vlob_id, version, timestamp, blob, sequester_blob: null }
  return wire.request({ cmd: 'vlob_update', ...about })
}
