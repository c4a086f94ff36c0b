/** The part of pkgcloud that the Swift store uses; the package brings no types. */
declare module 'pkgcloud' {
  import type { EventEmitter } from 'node:events'
  import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'

  export type SendOptions = {
    method: 'GET' | 'HEAD' | 'PUT' | 'DELETE'
    container: string
    path?: string
    headers: { [name: string]: string | number }
    body?: Buffer
    qs?: { [name: string]: string | number }
  }
  export type ClientError = Error & { statusCode?: number; code?: string; headers?: IncomingHttpHeaders }
  export type Exchange = EventEmitter & { abort(): void }
  /** A hook that may change what goes to the HTTP library. */
  export type Before = (options: { [name: string]: unknown }) => void

  export type Identity = {
    token: { id: string; expires: Date } | undefined
    on(event: string, listener: (...args: unknown[]) => void): void
    authorize(callback: (error?: Error) => void): void
    getServiceEndpointUrl(): string
  }
  export type StorageClient = {
    before: Before[]
    readonly _identity: Identity
    auth(callback: (error?: Error) => void): void
    _request(
      options: SendOptions,
      callback: (error: ClientError | null, body: Buffer, response: IncomingMessage) => void,
    ): Exchange
  }
  type Options = { provider: 'openstack'; authUrl: string; earlyTokenTimeout: number; identity: new () => Identity }
  const pkgcloud: { storage: { createClient(options: Options): StorageClient } }
  export default pkgcloud
}
