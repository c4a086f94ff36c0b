/**
 * Relays between the workers of one server. It keeps who listens to what, forwards each frame to whom it concerns in the
 * order of its sender, and tells a sender when all others have what it sent. Whoever does not answer is given up: the
 * others never wait for it longer than that.
 */
import type { Duplex } from 'node:stream'
import { RELAY_HELLO_TICKS, RELAY_TICK_MS, RELAY_UNANSWERED_TICKS } from '../deadlines.ts'
import { Patterns } from './patterns.ts'
import { FRAME, type Frame, frame, Link } from './relay-link.ts'

type Peer = {
  readonly number: number
  readonly link: Link
  readonly listening: Patterns
  readonly serving: Patterns
  /** Flushes that it has not answered, and for how many ticks it has answered none. */
  owed: number
  silentTicks: number
}
type Flush = { from: Peer; id: number; waiting: Set<Peer> }

export class RelayHub {
  readonly #peers = new Map<number, Peer>()
  /** Those that have not said a word: nobody waits for them. */
  readonly #expected = new Set<Peer>()
  readonly #flushes = new Map<number, Flush>()
  readonly #timer: NodeJS.Timeout
  #lastPeer = 0
  #lastFlush = 0

  constructor(tickMs = RELAY_TICK_MS) {
    this.#timer = setInterval(() => this.#tick(), tickMs).unref()
  }

  /** It takes part from its first word on. `onLost`: the peer has gone, or was given up, for the reason. */
  attach(stream: Duplex, onLost: (reason: string) => void): void {
    const link = new Link(
      stream,
      received => this.#heard(peer, received),
      reason => {
        this.#detach(peer)
        onLost(reason)
      },
    )
    this.#lastPeer = (this.#lastPeer % MAX_NUMBER) + 1
    const peer: Peer = {
      number: this.#lastPeer,
      link,
      listening: new Patterns(),
      serving: new Patterns(),
      owed: 0,
      silentTicks: 0,
    }
    this.#expected.add(peer)
  }
  #join(peer: Peer): void {
    if (!this.#expected.delete(peer)) return
    peer.silentTicks = 0
    const { link } = peer
    for (const other of this.#peers.values()) {
      for (const subject of other.listening) link.send(frame(FRAME.listen, { peer: other.number, subject }))
      for (const subject of other.serving) link.send(frame(FRAME.serve, { peer: other.number, subject }))
    }
    this.#peers.set(peer.number, peer)
    link.send(frame(FRAME.welcome, { peer: peer.number }))
  }
  close(): void {
    clearInterval(this.#timer)
    for (const { link } of [...this.#peers.values(), ...this.#expected]) link.close()
    this.#peers.clear()
    this.#expected.clear()
  }

  #heard(from: Peer, received: Frame): void {
    const told = { ...received, peer: from.number }
    switch (received.kind) {
      case FRAME.hello:
        return this.#join(from)
      case FRAME.listen:
        from.listening.add(received.subject)
        return this.#toOthers(from, told)
      case FRAME.unlisten:
        from.listening.remove(received.subject)
        return this.#toOthers(from, told)
      case FRAME.serve:
        from.serving.add(received.subject)
        return this.#toOthers(from, told)
      case FRAME.unserve:
        from.serving.remove(received.subject)
        return this.#toOthers(from, told)
      case FRAME.event:
        for (const peer of this.#peers.values())
          if (peer !== from && peer.listening.has(received.subject)) peer.link.send(told)
        return
      case FRAME.flush:
        return this.#flush(from, received.id)
      case FRAME.flushed:
        return this.#flushed(from, received.id)
      case FRAME.request:
        if (this.#peers.has(received.peer)) return this.#peers.get(received.peer)!.link.send(told)
        return from.link.send(frame(FRAME.unavailable, { id: received.id, payload: Buffer.from('it has gone') }))
      default:
        this.#peers.get(received.peer)?.link.send(told)
    }
  }
  #toOthers(from: Peer, told: Frame): void {
    for (const peer of this.#peers.values()) if (peer !== from) peer.link.send(told)
  }

  #flush(from: Peer, id: number): void {
    const waiting = new Set([...this.#peers.values()].filter(peer => peer !== from))
    if (waiting.size === 0) return from.link.send(frame(FRAME.flushed, { id }))
    this.#lastFlush = (this.#lastFlush + 1) >>> 0
    this.#flushes.set(this.#lastFlush, { from, id, waiting })
    for (const peer of waiting) ask(peer, this.#lastFlush)
  }
  #flushed(peer: Peer, number: number): void {
    peer.owed--
    peer.silentTicks = 0
    const flush = this.#flushes.get(number)
    if (flush) this.#settle(number, flush, peer)
  }
  #settle(number: number, { from, id, waiting }: Flush, peer: Peer): void {
    if (!waiting.delete(peer) || waiting.size > 0) return
    this.#flushes.delete(number)
    from.link.send(frame(FRAME.flushed, { id }))
  }
  /** Turns are counted and not time, so that a machine that slept does not lose everybody when it wakes up. */
  #tick(): void {
    for (const peer of [...this.#expected])
      if (++peer.silentTicks > RELAY_HELLO_TICKS) peer.link.lose('it does not answer')
    for (const peer of [...this.#peers.values()]) {
      if (peer.owed > 0 && ++peer.silentTicks > RELAY_UNANSWERED_TICKS) peer.link.lose('it does not answer')
      else if (peer.owed === 0) ask(peer, 0)
    }
  }

  /** It has all that it will ever have: nobody waits for it any more. */
  #detach(gone: Peer): void {
    this.#expected.delete(gone)
    if (!this.#peers.delete(gone.number)) return
    this.#toOthers(gone, frame(FRAME.left, { peer: gone.number }))
    for (const [number, flush] of [...this.#flushes]) {
      if (flush.from === gone) this.#flushes.delete(number)
      else this.#settle(number, flush, gone)
    }
  }
}

/** Numbers of peers travel in two bytes. */
const MAX_NUMBER = 0xffff

function ask(peer: Peer, id: number): void {
  peer.owed++
  peer.link.send(frame(FRAME.flush, { id }))
}
