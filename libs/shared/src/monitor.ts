/** The port on which operators, Kubernetes and Prometheus ask how a process does. */

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { OperatorError } from './errors.ts'
import { withoutBrackets } from './http/netloc.ts'
import type { Metrics } from './metrics.ts'
import type { Readiness } from './service.ts'

export type MonitorOptions = {
  host: string
  /** 0 = any free port. */
  port: number
  /** One per service of the process. */
  readiness: () => readonly Readiness[] | Promise<readonly Readiness[]>
  expose: Metrics['expose']
}
export type Monitor = { port: number; close(): Promise<void> }

/**
 * Serves `/healthz` (the process runs), `/readyz` (503 unless every service is ready; the JSON body says what is missing
 * or degraded) and `/metrics`. Throws `OperatorError` when the port is taken.
 */
export async function monitorServer({ host, port, readiness, expose }: MonitorOptions): Promise<Monitor> {
  const pages: { [path: string]: () => Promise<Page> } = {
    '/healthz': async () => ({ status: 200, contentType: 'text/plain', body: 'ok\n' }),
    '/readyz': async () => readyPage(await readiness()),
    '/metrics': async () => ({ status: 200, ...(await expose()) }),
  }
  const server = createServer(async (request, response) => {
    const page = Object.hasOwn(pages, request.url ?? '') ? pages[request.url!] : undefined
    const readable = request.method === 'GET' || request.method === 'HEAD'
    try {
      const { status, contentType, body } = await (page && readable ? page() : nothing)
      response.writeHead(status, { 'content-type': contentType }).end(request.method === 'HEAD' ? undefined : body)
    } catch {
      response.writeHead(500).end()
    }
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', error =>
      reject(new OperatorError(`cannot listen on ${host} port ${port}: ${error.message}`, { cause: error })),
    )
    server.listen({ host: withoutBrackets(host), port }, resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

type Page = { status: number; contentType: string; body: string }
const nothing: Page = { status: 404, contentType: 'text/plain', body: 'not found\n' }

export const areReady = (services: readonly Readiness[]): boolean => services.every(service => service.ready)

function readyPage(services: readonly Readiness[]): Page {
  const ready = areReady(services)
  const detail = Object.assign({}, ...services.map(service => service.detail))
  return { status: ready ? 200 : 503, contentType: 'application/json', body: `${JSON.stringify({ ready, detail })}\n` }
}
