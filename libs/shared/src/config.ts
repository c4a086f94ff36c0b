/** What each service is told at its start. Built once by the command line from its option table, then frozen. */

import type { Target } from './postgres/target.ts'

export type DatabaseConfig =
  | { kind: 'MOCKED' }
  | {
      kind: 'POSTGRESQL'
      target: Target
      minConnections: number
      maxConnections: number
      /** Consecutive failed attempts before giving up; 0 = never retry, not even once. */
      maxAttempts: number
      retryPauseSeconds: number
    }

/** The public address, `parsec://hostname[:port][?no_ssl=true]` (spec 06 §3.2). */
export type BackendAddr = { hostname: string; port: number; useTls: boolean }

export type GatewayConfig = {
  debug: boolean
  backendAddr: BackendAddr
  /** Seconds between keep-alive comments of a server-sent-event stream; ≤ 0: none. */
  sseKeepaliveSeconds: number
}
/** How invitation mails leave (spec 06 §3.3). */
export type MailConfig = { sender: string; language: 'en' | 'fr' } & (
  | { kind: 'MOCKED' }
  | {
      kind: 'SMTP'
      host: string
      port: number
      /** Both or neither. */
      login: { user: string; password: string } | null
      /** TLS from the first byte, a change to TLS by STARTTLS, or none. */
      security: 'implicit' | 'starttls' | 'none'
    }
)
export type MetadataConfig = {
  database: DatabaseConfig
  /** Public address, for links in mails. */
  backendAddr: BackendAddr
  /** Null: mails cannot be sent. */
  mail: MailConfig | null
  spontaneousOrganizationBootstrap: boolean
  organizationBootstrapWebhook: string | null
  organizationInitialActiveUsersLimit: number | null
  organizationInitialUserProfileOutsiderAllowed: boolean
}
export type HttpConfig = {
  host: string
  /** 0 = any free port. */
  port: number
  /** Whether other processes of the same server listen on it, too. */
  isShared?: boolean
  debug: boolean
  tls: { key: Buffer; cert: Buffer } | null
  /** Requests whose header has another value are redirected to https (spec 02 §6.5). */
  forwardProtoEnforceHttps: { header: string; value: string } | null
  /** Addresses and networks of proxies that say in `X-Forwarded-For` whom they speak for. */
  trustedProxies: readonly string[]
  /** Most sockets at once, whatever they are used for; null: as many as a process can have, within reason. */
  maxConnections: number | null
}
