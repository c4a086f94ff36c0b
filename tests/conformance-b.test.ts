/** The conformance suite on one process per service, NATS and PostgreSQL. */
import { conformance } from './harness/conformance.ts'

await conformance('cluster')
