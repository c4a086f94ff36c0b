/** File descriptors that the system gives this process: each connection of a client takes one, and so does all the rest. */
import { readFileSync } from 'node:fs'

/** For everything but clients: connections to database, object store and broker, files, what the runtime needs. */
const FOR_THE_REST = 512

/** Most that may be open at once; null where the system does not say. The runtime has raised it as far as it may be. */
export function mostDescriptors(): number | null {
  try {
    const [, most] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return most === undefined ? null : Number(most)
  } catch {
    return null
  }
}

/** How many of them are for clients. */
export const forClients = (descriptors: number): number => descriptors - Math.min(FOR_THE_REST, descriptors >> 1)
