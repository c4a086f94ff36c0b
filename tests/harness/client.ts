/** The client of the tests: that of the conformance suite, against a launched cluster. */
import { Context } from '../conformance/harness.mjs'
import { ADMINISTRATION_TOKEN, type Cluster } from './launch.ts'

export * from '../conformance/harness.mjs'

/** Connections that it opens are closed by its `end()`. `url`: another address than the cluster's own. */
export const clientOf = (cluster: Cluster, url = cluster.url): Context =>
  new Context({ url, token: ADMINISTRATION_TOKEN, target: 'ours', features: new Set() })
