/** Free TCP ports on the loopback interface, outside the range from which the system takes ports of outgoing connections. */
import { createServer } from 'node:net'

const FIRST_PORT = 20_000
const LAST_PORT = 31_999

/** Whoever asked for a port may listen on it only later. */
const given = new Set<number>()

/** A port that nobody listens on, another one each time; another program could still take it before the caller does. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT + 1))
    if (given.has(port)) continue
    given.add(port)
    if (await isFree(port)) return port
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
