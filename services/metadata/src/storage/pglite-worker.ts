/** A throw-away PostgreSQL behind a UNIX socket, in a worker thread so that it never blocks the event loop. */
import { parentPort, workerData } from 'node:worker_threads'
import { servePglite } from './pglite.ts'

const { folder, data } = workerData as { folder: string; data: string }
await servePglite(folder, data)
parentPort?.postMessage('ready')
