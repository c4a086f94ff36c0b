/** Free TCP ports on the loopback interface, outside the range from which the system takes ports of outgoing connections. */
import { createServer } from 'node:net'

const FIRST_PORT = 20_000
const PORTS = 12_000
/** Test files that run at the same time take theirs from different parts: `2/4` is the third of four. */
const [lane = 0, lanes = 1] = (process.env['PARSEC_TEST_LANE'] ?? '').split('/').filter(Boolean).map(Number)
const MINE = Math.floor(PORTS / lanes)

/** Whoever asked for a port may listen on it only later. */
const given = new Set<number>()

/** A port that nobody listens on, another one each time; another program could still take it before the caller does. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST_PORT + lane * MINE + Math.floor(Math.random() * MINE)
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
