/** How object stores are reached: a private certificate authority and proxies, as the environment of the process names them. */

import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { getCACertificates } from 'node:tls'
import { STORE_KEEP_UNUSED_MS } from '@parsec/shared/deadlines'
import { OperatorError } from '@parsec/shared/errors'
import { limits } from '@parsec/shared/limits'

export type NetworkOptions = {
  /** PEM file with certificate authorities to trust besides the usual ones (`AWS_CA_BUNDLE`); null: none. */
  caFile: string | null
  /** `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY` and their lower-case forms, as the environment has them. */
  proxy: { readonly [variable: string]: string | undefined }
  /** Replaces `STORE_ATTEMPT_MS`. */
  attemptMs?: number
}

export const DIRECT: NetworkOptions = { caFile: null, proxy: {} }

export type Agents = { http: http.Agent; https: https.Agent }

/** Connections for one back end; no more of them than it has operations. Throws `OperatorError` for an unreadable file. */
export function makeAgents({ caFile, proxy }: NetworkOptions): Agents {
  const maxSockets = limits.node_operations.value
  const options = { keepAlive: true, maxSockets, timeout: STORE_KEEP_UNUSED_MS, proxyEnv: { ...proxy } }
  const ca = caFile === null ? {} : { ca: [...getCACertificates('default'), readAuthorities(caFile)] }
  return { http: new http.Agent(options), https: new https.Agent({ ...options, ...ca }) }
}

function readAuthorities(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new OperatorError(`AWS_CA_BUNDLE \`${path}\` cannot be read: ${(error as Error).message}`)
  }
}
