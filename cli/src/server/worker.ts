/**
 * This process as one of the workers of a server: it shares the port with the others, and the process that watches them
 * (`workforce.ts`) tells it when to stop. When that one is gone it stops by itself, for then it cannot tell the other
 * workers anything.
 */
import { Socket } from 'node:net'
import { RelayBus } from '@parsec/shared/bus/relay'
import * as subjects from '@parsec/shared/bus/subjects'
import { encode } from '@parsec/shared/codec/msgpack'
import type { ServerProcess } from './server-process.ts'
import type { WorkerPlace } from './worker-place.ts'

/** Where the relay is. */
const RELAY_DESCRIPTOR = 3

export class Worker {
  readonly bus: RelayBus
  /** Resolves when it is to stop; true when there is nobody left who could tell it. */
  readonly stopped: Promise<boolean>
  readonly #number: number

  private constructor(bus: RelayBus, { number }: WorkerPlace, stopped: Promise<boolean>) {
    this.bus = bus
    this.#number = number
    this.stopped = stopped
  }
  static async enter(place: WorkerPlace): Promise<Worker> {
    const bus = await RelayBus.open(new Socket({ fd: RELAY_DESCRIPTOR, readable: true, writable: true }))
    const { promise, resolve } = Promise.withResolvers<boolean>()
    bus.onStatus(() => resolve(true))
    await bus.subscribe(subjects.workersStop, () => resolve(false))
    return new Worker(bus, place, promise)
  }

  /** Answers for the server from now on. */
  async answerFor(server: ServerProcess, onReload: () => void): Promise<void> {
    const answers: { [name: string]: () => Promise<Buffer> } = {
      readiness: async () => encode(server.readiness()),
      metrics: async () => encode(await server.exposeMetrics()),
    }
    for (const [name, answer] of Object.entries(answers))
      await this.bus.serve(subjects.workerRequest(this.#number, name), `worker-${this.#number}`, answer)
    await this.bus.subscribe(subjects.workersReload, onReload)
  }
  sayReady(): void {
    this.bus.publish(subjects.workerReady, encode({ number: this.#number }))
  }
}
