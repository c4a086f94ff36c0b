/**
 * Every socket of the port, whatever it is used for and however far it has come: requests, WebSockets, half TLS
 * handshakes, sockets that are refused. Above the operator's number they are told so, far above they are closed.
 */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { Bag, type InBag } from '../bag.ts'
import { forClients, mostDescriptors } from '../descriptors.ts'
import { limits } from '../limits.ts'
import type { Log } from '../log.ts'

/** Each socket of the port knows where it stands. */
const OPEN = Symbol('open')
type OpenSocket = Socket & { [OPEN]?: Place }
/** … and which of its requests wait for the answer to the one before; undefined while none is worked on. */
const LINE = Symbol('line')
type ServedSocket = Socket & { [LINE]?: (() => void)[] | undefined }
class Place implements InBag {
  place = -1
  readonly socket: Socket
  constructor(socket: Socket) {
    this.socket = socket
  }
}

/** What nobody has limited, and one process could hardly serve. */
const MOST = 100_000

export class OpenSockets {
  readonly #most: number
  readonly #open = new Bag<Place>()
  /** Those that wait for a next request, longest first. */
  readonly #resting = new Set<Socket>()

  /** `wanted`: by the operator, if he said how many. */
  constructor(server: Server, wanted: number | null, log: Log) {
    const descriptors = mostDescriptors()
    const { most, refused } = roomOf(wanted ?? MOST, descriptors)
    if (wanted !== null && most < wanted)
      log.warning('Fewer connections than --max-connections', {
        max_connections: wanted,
        possible: most,
        descriptors,
        hint: 'raise the number of open files (ulimit -n, LimitNOFILE, nofile), or lower --max-connections',
      })
    this.#most = most
    server.maxConnections = most + refused
    const [open, resting] = [this.#open, this.#resting]
    // One for all: a closure for each would be a part of what an idle connection costs.
    const onClose = function (this: OpenSocket) {
      open.delete(this[OPEN]!)
      resting.delete(this)
    }
    server.on('connection', (socket: OpenSocket) => {
      this.#open.add((socket[OPEN] = new Place(socket)))
      socket.on('close', onClose)
      if (this.areTooMany) this.#makeRoom()
    })
    server.on('secureConnection', (socket: Socket) => socket.once('close', () => this.#resting.delete(socket)))
    server.on('drop', () => log.warning('Connections closed unheard', { reason: 'too many connections' }))
  }
  get count(): number {
    return this.#open.size
  }
  /** Whether the socket of the request in question is one too many. */
  get areTooMany(): boolean {
    return this.#open.size > this.#most
  }
  /**
   * Calls `begin` when the requests before it are answered, after which `rest` is due. False: more wait than may. A packet
   * of the network may bring two thousand; others are served between any two.
   */
  serve(socket: ServedSocket, begin: () => void): boolean {
    const line = socket[LINE]
    if (!line) {
      socket[LINE] = []
      this.#resting.delete(socket)
      begin()
    } else if (line.push(begin) >= limits.waiting_requests.value) return false
    return true
  }
  /** A request of it is answered, or its client has gone. */
  rest(socket: ServedSocket): void {
    const next = socket[LINE]?.shift()
    if (next && !socket.destroyed) setImmediate(next)
    else {
      socket[LINE] = undefined
      if (!socket.destroyed) this.#resting.add(socket)
    }
  }
  destroyAll(): void {
    for (const { socket } of this.#open.all()) socket.destroy()
  }
  /** Ends the connection that has waited longest for a next request: its peer is prepared for that. */
  #makeRoom(): void {
    for (const socket of this.#resting) {
      this.#resting.delete(socket)
      if (socket.destroyed) continue
      socket.destroy()
      return
    }
  }
}

/**
 * How many sockets there may be, and how many more that are told so. Without a descriptor the system would accept nobody,
 * not even who asks for `/healthz`, and tell nobody why.
 */
function roomOf(wanted: number, descriptors: number | null): { most: number; refused: number } {
  const room = descriptors === null ? Infinity : forClients(descriptors)
  const refused = Math.min(limits.refused_sockets.value, Math.floor(room / 4))
  return { most: Math.min(wanted, room - refused), refused }
}
