/** What `deploy/proxmox/` puts before a Hub, as far as a host without a cluster can tell: files, names and modes, and the real nginx before a real Hub. */
import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type HubProcess, startHubProcess } from './support/hub-process.ts'
import { until } from './support/until.ts'

const DEPLOY = fileURLToPath(new URL('../deploy/proxmox/', import.meta.url))
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKj0vZzVv87sd0ot17HvJD5ZUB5vITG7MQEZF2+WSauP somebody@example.com'
const run = promisify(execFile)
const has = (command: string): boolean => spawnSync('sh', ['-c', `command -v ${command}`]).status === 0

let folder: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'avdep-'))
})
after(() => rm(folder, { recursive: true, force: true }))

const asRoot = process.getuid?.() === 0 && has('openssl') ? false : 'this gives files to other users with openssl, as root'
const install = (place: string, ...names: string[]) =>
  run(join(DEPLOY, 'hub/install.sh'), names, { env: { ...process.env, AUTOVIBE_PLACE: place, AUTOVIBE_ONLY_FILES: '1' } })

test('what the installation makes is closed to everybody else, and stays as it is when it runs again', { skip: asRoot }, async () => {
  const place = join(folder, 'srv')
  await install(place, 'hub.example.com', '192.0.2.20')
  const files = ['secrets/postgres', 'secrets/hub.env', 'tls/hub.key', 'tls/hub.crt']
  const kept = await Promise.all(files.map((file) => readFile(join(place, file), 'utf8')))
  for (const file of files) assert.equal((await stat(join(place, file))).mode & 0o077, 0, file)
  for (const inside of ['data', 'postgres', 'secrets', 'tls']) assert.equal((await stat(join(place, inside))).mode & 0o077, 0, inside)
  assert.equal((await stat(join(place, 'data'))).uid, 7420)
  assert.ok(kept[1]?.includes(`autovibe:${kept[0]}@/autovibe?host=/run/postgresql`))
  assert.match(
    (await run('openssl', ['x509', '-in', join(place, 'tls/hub.crt'), '-noout', '-ext', 'subjectAltName'])).stdout,
    /DNS:hub\.example\.com, IP Address:192\.0\.2\.20/,
  )
  // The names are remembered.
  await install(place)
  assert.deepEqual(await Promise.all(files.map((file) => readFile(join(place, file), 'utf8'))), kept)
  assert.match(await readFile(join(place, 'nginx/hub.conf'), 'utf8'), /server_name hub\.example\.com 192\.0\.2\.20;/)
  assert.deepEqual((await readdir(join(place, 'nginx'))).concat(await readdir(join(place, 'tls'))), ['hub.conf', 'hub.crt', 'hub.key'])
})

test('names that nginx or a shell would read otherwise are refused', async () => {
  for (const name of ['a b', 'a;b', '$(id)', '-x', 'a/b', '', 'a\nb'])
    await assert.rejects(install(join(folder, 'never'), name), (error: { code?: number }) => error.code === 1, JSON.stringify(name))
  await assert.rejects(stat(join(folder, 'never')), { code: 'ENOENT' })
})

describe('the first boot of the VMs', () => {
  const hub = {
    vmid: '110',
    storage: 'thin',
    'ssh-key': '',
    repository: 'https://git.example.com/a/autovibe.git',
    'hub-name': 'hub.example.com',
    address: '192.0.2.20/24',
    gateway: '192.0.2.1',
    nameserver: '192.0.2.1',
    'machines-address': '10.90.0.2/18',
  }
  const template = { vmid: '9000', storage: 'thin', repository: hub.repository }
  const filled = async (script: string, given: Readonly<Record<string, string>>): Promise<string> => {
    const args = Object.entries(given).flatMap(([option, value]) => [`--${option}`, value])
    return (await run(join(DEPLOY, script), args, { env: { ...process.env, AUTOVIBE_ONLY_FILES: '1' } })).stdout
  }
  before(async () => {
    hub['ssh-key'] = join(folder, 'key.pub')
    await writeFile(hub['ssh-key'], `${KEY}\n`)
  })

  test('is filled in with nothing left over, and cloud-init takes it', async (t) => {
    for (const [script, given] of [
      ['hub/make-hub-vm.sh', hub],
      ['template/make-template.sh', template],
    ] as const) {
      const text = await filled(script, given)
      assert.doesNotMatch(text.replaceAll(/^#.*$/gm, ''), /@[A-Z_]+@/)
      assert.ok(text.startsWith('#cloud-config\n') && text.includes(hub.repository))
      if (!has('cloud-init')) {
        t.diagnostic('cloud-init is not here to check it by its schema')
        continue
      }
      const file = join(folder, 'user-data.yaml')
      await writeFile(file, text)
      await run('cloud-init', ['schema', '--config-file', file])
    }
  })

  test('takes nothing that would be read as more than it says', async () => {
    const wrong: readonly [string, object, Readonly<Record<string, string>>][] = [
      ...[
        { name: 'a"b' },
        { repository: 'https://x/"; reboot' },
        { repository: 'file:///etc' },
        { ref: '--upload-pack=x' },
        { 'hub-name': 'a, b' },
        { vmid: '1' },
      ].map((more) => ['hub/make-hub-vm.sh', more, hub] as [string, object, typeof hub]),
      ...[{ storage: 'a b' }, { ip: 'dhcp,tag=1' }, { pool: '$(id)' }].map(
        (more) => ['template/make-template.sh', more, template] as [string, object, typeof template],
      ),
    ]
    for (const [script, more, given] of wrong)
      await assert.rejects(filled(script, { ...given, ...more }), (error: { code?: number }) => error.code === 1, JSON.stringify(more))
    await writeFile(join(folder, 'two.pub'), `${KEY}\n${KEY}\n`)
    await assert.rejects(filled('hub/make-hub-vm.sh', { ...hub, 'ssh-key': join(folder, 'two.pub') }), (error: { code?: number }) => error.code === 1)
  })
})

const noNginx = asRoot || (has('nginx') ? false : 'nginx is not installed')
describe('nginx before the Hub', { skip: noNginx }, () => {
  let hub: HubProcess
  let nginx: ChildProcess
  let port = 0
  let ca = ''

  before(async () => {
    hub = await startHubProcess()
    port = await freePort()
    const place = join(folder, 'proxied')
    await install(place, 'hub.example.com', '127.0.0.1')
    ca = await readFile(join(place, 'tls/hub.crt'), 'utf8')
    const { url } = JSON.parse(await readFile(join(hub.dataDir, 'hub.json'), 'utf8')) as { url: string }
    const own = (await readFile(join(place, 'nginx/hub.conf'), 'utf8'))
      .replaceAll('/etc/nginx/tls/', `${place}/tls/`)
      .replaceAll(/listen \[::\]:443[^;]*;/g, '')
      .replaceAll('listen 443', `listen 127.0.0.1:${port}`)
      .replace('127.0.0.1:7420', new URL(url).host)
    await mkdir(join(place, 'tmp'))
    const file = join(place, 'nginx.conf')
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${place}/tmp/${name};`).join(' ')
    await writeFile(file, `user root; pid ${place}/pid; error_log stderr; daemon off; events {} http { access_log off; ${temporary}\n${own}\n}`)
    await run('nginx', ['-t', '-c', file])
    nginx = spawn('nginx', ['-c', file], { stdio: 'ignore' })
    await until('nginx answers', 20_000, async () => (await ask('/v1/health', { host: 'hub.example.com' }).catch(() => undefined))?.status === 200 || undefined)
  })
  after(async () => {
    nginx.kill('SIGQUIT')
    await once(nginx, 'exit')
    await hub.remove()
  })

  const ask = (path: string, headers: Readonly<Record<string, string>>, servername?: string): Promise<{ status: number; text: string }> =>
    new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port, path, headers, ca, servername: servername ?? 'hub.example.com', agent: false as const }
      request(options, (response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => {
          text += chunk.toString()
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
      })
        .on('error', reject)
        .end()
    })

  test('the API answers by the Hub’s names and by no other, so that no page leads a browser to it', async () => {
    for (const host of ['hub.example.com', '127.0.0.1']) assert.equal((await ask('/v1/health', { host })).status, 200, host)
    for (const host of ['evil.example.com', 'localhost', '127.0.0.1.evil.example.com']) assert.equal((await ask('/v1/health', { host })).status, 421, host)
  })

  test('the key is asked for behind it as before', async () => {
    assert.equal((await ask('/v1/machines', { host: 'hub.example.com' })).status, 401)
    const key = (await readFile(join(hub.dataDir, 'api-key'), 'utf8')).trim()
    assert.equal((await ask('/v1/machines', { host: 'hub.example.com', authorization: `Bearer ${key}` })).status, 200)
  })

  test('events come as they happen, not when the stream ends', async () => {
    const key = (await readFile(join(hub.dataDir, 'api-key'), 'utf8')).trim()
    const seen = Promise.withResolvers<string>()
    const stream = request({
      host: '127.0.0.1',
      port,
      path: '/v1/events',
      ca,
      servername: 'hub.example.com',
      agent: false,
      headers: { host: 'hub.example.com', authorization: `Bearer ${key}`, accept: 'text/event-stream' },
    })
    stream.on('error', seen.reject).on('response', (response) => {
      assert.equal(response.statusCode, 200)
      let text = ''
      response
        .on('error', () => undefined)
        .on('data', (chunk: Buffer) => {
          text += chunk.toString()
          if (text.includes('through-nginx')) seen.resolve(text)
        })
      void hub.client.keys.create({ name: 'through-nginx', role: 'user' }).catch(seen.reject)
    })
    stream.end()
    assert.match(await seen.promise, /audit\.recorded/)
    stream.destroy()
  })
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
