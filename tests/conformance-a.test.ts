/** The conformance suite on one process that keeps everything in memory. */
import { conformance } from './harness/conformance.ts'

await conformance('single')
