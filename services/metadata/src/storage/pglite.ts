/** PGlite on a data folder, behind a socket in another. Never imported by the thread that serves clients. */
import { PGlite } from '@electric-sql/pglite'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'
import { SOCKET_CONNECTIONS, socketIn } from './embedded.ts'

/** Resolves with how to end it in order, which leaves a data folder that needs no recovery. */
export async function servePglite(folder: string, data: string): Promise<() => Promise<void>> {
  const db = await PGlite.create({ dataDir: data, relaxedDurability: true })
  const server = new PGLiteSocketServer({ db, path: socketIn(folder), maxConnections: SOCKET_CONNECTIONS })
  await server.start()
  return async () => {
    await server.stop()
    await db.close()
  }
}
