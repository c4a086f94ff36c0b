/** A throw-away PostgreSQL behind a UNIX socket, in a worker thread so that it never blocks the event loop. */
import { parentPort, workerData } from 'node:worker_threads'
import { PGlite } from '@electric-sql/pglite'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'

const { folder, path, maxConnections } = workerData as { folder: string; path: string; maxConnections: number }
const db = await PGlite.create({ dataDir: folder, relaxedDurability: true })
const server = new PGLiteSocketServer({ db, path, maxConnections })
await server.start()
parentPort?.postMessage('ready')
