/** The last words to a socket that is not served: a minimal answer, and the end, whether the peer takes part in it or not. */
import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { REFUSED_SOCKET_MS } from '../deadlines.ts'

export function refuseSocket(socket: Duplex, status: number, server: string): void {
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    `server: ${server}`,
    `date: ${new Date().toUTCString()}`,
    'content-length: 0',
    'connection: close',
  ]
  socket.on('error', () => socket.destroy())
  const timer = setTimeout(() => socket.destroy(), REFUSED_SOCKET_MS)
  socket.once('close', () => clearTimeout(timer))
  socket.end(`${head.join('\r\n')}\r\n\r\n`)
  // What the peer still sends is not kept, and its end is noticed.
  socket.resume()
}
