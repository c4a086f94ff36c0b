/** A real nginx in front of a server, with the configuration of deploy/proxy. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { backing, isListening } from '../harness/backing.ts'
import { Child } from '../harness/child.ts'

/** Where it listens on the loopback interface, and for whom. */
type Ports = { readonly port: number; readonly secure: number; readonly plain: number }

/** Resolves when it listens. Its certificate is `proxy.pem` with `proxy.key` of the folder. */
export async function startNginx(folder: string, ports: Ports): Promise<Child> {
  await backing('nginx')
  const nginx = new Child('nginx', 'nginx', await configure(folder, ports), {
    PATH: `${process.env.PATH}:/usr/sbin`,
  })
  return nginx.until(() => isListening(ports.secure))
}

/** Writes the configuration; returns the arguments of nginx. */
async function configure(folder: string, { port, secure, plain }: Ports): Promise<string[]> {
  const file = await readFile(new URL('../../deploy/proxy/nginx.conf', import.meta.url), 'utf8')
  const site = file
    .replace('listen 443 ssl', `listen 127.0.0.1:${secure} ssl`)
    .replace('listen 80', `listen 127.0.0.1:${plain}`)
    .replaceAll(/listen \[::\].*/g, '')
    // Open here: the log has the addresses of administrators, too.
    .replace(/location \/administration \{[^}]*\}/, '')
    .replace('/etc/ssl/parsec/fullchain.pem', join(folder, 'proxy.pem'))
    .replace('/etc/ssl/parsec/privkey.pem', join(folder, 'proxy.key'))
    .replace('proxy_pass http://127.0.0.1:6777', `proxy_pass http://127.0.0.1:${port}`)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const config = `
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 256; }
http {
  access_log off;
${temporary.map(name => `  ${name}_temp_path ${folder}/nginx-${name};`).join('\n')}
${site}
}
`
  const path = join(folder, 'nginx.conf')
  await writeFile(path, config)
  return ['-p', folder, '-c', path, '-e', join(folder, 'error.log')]
}
