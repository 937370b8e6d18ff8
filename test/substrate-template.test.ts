/** A template made with the real command: the lines for its token, the making with a Ctrl-C in the middle, and the settings that name it; the secret is nowhere. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, createServer as createNetServer } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { BuiltTemplate, Grants, Substrate, TemplateGrants } from '@autovibe/contract'
import { z } from 'zod'
import { descriptionFile } from './proxmox/description.ts'
import { InstallingGuests, WITHOUT_INSTALLING } from './proxmox/installing-guests.ts'
import { type ProxmoxStandIn, startProxmox } from './proxmox/stand-in.ts'
import { makePlace, type Place, until } from './support/command.ts'

const skip = WITHOUT_INSTALLING || (descriptionFile() === null ? 'Proxmox’s description is not beside this checkout' : false)
const IMAGE = Buffer.from('a cloud image')
const Made = z.object({ template: BuiltTemplate, substrate: Substrate })

let place: Place
let pve: ProxmoxStandIn
let guests: InstallingGuests | undefined
let images: Server
let image: string[]
let secret = ''
const secrets: string[] = []

before(async () => {
  if (skip !== false) return
  pve = await startProxmox({
    secondMs: 1,
    broadcastEveryS: 0,
    storages: [{ id: 'thin', type: 'lvmthin' }],
    guests: (directory) => {
      guests = new InstallingGuests(directory)
      return guests
    },
  })
  images = createServer((request, response) =>
    response.end(request.url === '/SHA256SUMS' ? `${createHash('sha256').update(IMAGE).digest('hex')} *noble.img\n` : IMAGE),
  )
  await new Promise<void>((resolve) => images.listen(0, '127.0.0.1', resolve))
  image = ['--image', `http://127.0.0.1:${(images.address() as AddressInfo).port}/noble.img`]
  place = await makePlace()
  assert.equal((await place.run(['up'])).code, 0)
  await bring()
})
after(async () => {
  if (skip !== false) return
  await place.remove()
  images.closeAllConnections()
  await new Promise((resolve) => images.close(resolve))
  await pve.close()
  assert.deepEqual(pve.violations, [])
})

/** With the number of a template that is not there yet. */
async function bring(): Promise<void> {
  const server = createNetServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  const base = ['substrate', 'add', 'proxmox', 'lab', '--url', pve.url, '--fingerprint', pve.fingerprint, '--storage', 'thin']
  const { lines } = await place.json(Grants, base)
  let own = ''
  for (const line of lines) own = ((await pve.pveum(line)) as { value?: string } | null)?.value ?? own
  const complete = [...base, '--template', '9000', '--gate', `10.90.0.2:${port}`, '--token-id', 'autovibe@pve!hub', '--token-stdin']
  const added = await place.run(complete, { input: own })
  // What is missing is named with the command that makes it.
  assert.match(added.stdout, /autovibe substrate template build lab/)
  assert.equal(added.code, 1)
}

/** The rights on another number. */
async function grantFor(vmid: string): Promise<void> {
  const { lines } = await place.json(TemplateGrants, [...GRANTS, '--vmid', vmid])
  for (const line of lines) if (line.includes(' acl modify /vms/')) await pve.pveum(line)
}
const GRANTS = ['substrate', 'grants', 'lab', '--for', 'template', '--node', 'pve1', '--image-storage', 'local']

const build = (...more: readonly string[]): string[] => [
  ...['substrate', 'template', 'build', 'lab', '--node', 'pve1', '--image-storage', 'local', ...image],
  ...['--token-id', 'autovibe-template@pve!build', '--token-stdin', ...more],
]

test('without a token it says which lines make one, and those lines do', { skip }, async () => {
  const { fix, code } = await place.refusal(['substrate', 'template', 'build', 'lab', '--node', 'pve1', '--image-storage', 'local'])
  assert.equal(code, 'request.invalid')
  assert.equal(fix, 'autovibe substrate grants lab --for template --node pve1 --image-storage local')
  const told = await place.run(GRANTS)
  const { lines, remove, token_id } = await place.json(TemplateGrants, GRANTS)
  assert.deepEqual(told.stdout.trimEnd().split('\n'), lines)
  for (const line of remove) assert.ok(told.stderr.includes(line))
  assert.match(
    told.stderr,
    /Next: autovibe substrate template build lab --node pve1 --image-storage local --token-id 'autovibe-template@pve!build' --token-stdin/,
  )
  assert.equal(token_id, 'autovibe-template@pve!build')
  for (const line of lines) secret = ((await pve.pveum(line.replace(/ --expire .*$/, ''))) as { value?: string } | null)?.value ?? secret
  secrets.push(secret)
})

test('ended by Ctrl-C it leaves what is done, and the same command again goes on and says each step', { skip }, async () => {
  guests?.stalled.add(9000)
  const first = place.start(build(), { input: secret })
  await until('the VM installs itself', () => pve.cluster.vms.get(9000)?.config['tags']?.includes('autovibe-installing'))
  assert.equal((await first.signal('SIGINT')).code, 130)
  assert.equal(guests?.running.has(9000), true)
  await guests?.finish(9000)
  const { stdout, stderr, code } = await place.run(build('--json'), { input: secret })
  assert.equal(code, 0, stderr)
  const { template } = Made.parse(JSON.parse(stdout))
  assert.deepEqual([template.vmid, template.node, template.made], [9000, 'pve1', true])
  assert.equal(pve.cluster.vms.get(9000)?.config['template'], '1')
})

test('a finished one says so at once; another is used when that is asked for', { skip }, async () => {
  const again = await place.run(build(), { input: secret })
  assert.match(again.stdout, /The template 9000 on pve1 was made before\./)
  assert.match(again.stderr, /Next: autovibe substrate probe lab/)
  await grantFor('9001')
  const other = await place.run(build('--vmid', '9001'), { input: secret })
  assert.match(other.stderr, /Next: autovibe substrate set lab --template 9001/)
  assert.match(other.stderr, /It installs itself/)
  const { substrate } = await place.json(Made, build('--vmid', '9001', '--use'), { input: secret })
  assert.deepEqual(substrate.proxmox?.templates, [{ vmid: 9001, node: null }])
})

test('a Hub that is killed in the middle is told of, and its next one goes on', { skip }, async () => {
  await grantFor('9003')
  guests?.stalled.add(9003)
  const first = place.start(build('--vmid', '9003'), { input: secret })
  await until('the VM installs itself', () => pve.cluster.vms.get(9003)?.config['tags']?.includes('autovibe-installing'))
  process.kill((JSON.parse(await readFile(join(place.dataDir, 'hub.json'), 'utf8')) as { pid: number }).pid, 'SIGKILL')
  const cut = await first.ended
  assert.equal(cut.code, 3)
  assert.match(cut.stderr, /The same command again goes on where it was/)
  assert.equal((await place.run(['up'])).code, 0)
  await guests?.finish(9003)
  assert.ok((await place.json(Made, build('--vmid', '9003'), { input: secret })).template.made)
})

test('a failure keeps its words, its fix and its exit code', { skip }, async () => {
  const { code, exit, fix } = await place.refusal(build('--vmid', '9002'), { input: secret })
  assert.deepEqual([code, exit], ['substrate.failed', 1])
  assert.match(fix ?? '', /pveum acl modify \/vms\/9002 --users autovibe-template@pve --roles AutovibeTemplateVm/)
  const own = await place.refusal([...build('--vmid', '9002').map((each) => (each.includes('!') ? 'autovibe@pve!hub' : each))], { input: secret })
  assert.equal(own.code, 'request.invalid')
})

test('the secret is in no file of the Hub and in no answer', { skip }, async () => {
  const { stdout, stderr } = await place.run(['logs', '--hub'])
  const texts = [stdout, stderr]
  for (const entry of await readdir(place.dataDir, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) texts.push(await readFile(join(entry.parentPath, entry.name), 'latin1'))
  assert.ok(texts.length > 100)
  for (const each of secrets) assert.ok(!texts.some((text) => text.includes(each)))
})
