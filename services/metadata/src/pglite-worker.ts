/** A PostgreSQL in memory behind a UNIX socket, in a worker thread so that it never blocks the event loop. */
import { parentPort, workerData } from 'node:worker_threads'
import { PGlite } from '@electric-sql/pglite'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'

const { path, maxConnections } = workerData as { path: string; maxConnections: number }
const db = await PGlite.create()
const server = new PGLiteSocketServer({ db, path, maxConnections })
await server.start()
parentPort?.postMessage('ready')
