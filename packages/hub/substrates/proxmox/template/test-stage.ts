/** For tests of the making of a template: a cluster on which VMs install themselves, a server of images, and the token that the printed lines make. */
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { BuildTemplate, ProxmoxConfig } from '@autovibe/contract'
import type { z } from 'zod'
import { InstallingGuests } from '../../../../../test/proxmox/installing-guests.ts'
import { type Options, type ProxmoxStandIn, startProxmox } from '../../../../../test/proxmox/stand-in.ts'
import { buildLines } from '../client/template-needs.ts'
import { SHORT } from '../client/test-client.ts'
import { type Made, makeTemplate } from './make-template.ts'
import { siteOf } from './plan.ts'
import type { BuildPatience, Tell } from './site.ts'

export const IMAGE = Buffer.from('a cloud image, as far as anybody here looks at it'.repeat(100))
export const IMAGE_SHA256 = createHash('sha256').update(IMAGE).digest('hex')
const TOKEN = { user: 'autovibe-template@pve', token: 'build' }
export const TOKEN_ID = `${TOKEN.user}!${TOKEN.token}`
/** Long beside what the stand-in takes, so that only a test that is about it meets the end. */
const PATIENCE: BuildPatience = { taskMs: 20_000, installMs: 20_000 }

export interface BuildStage {
  readonly pve: ProxmoxStandIn
  readonly guests: InstallingGuests
  readonly imageUrl: string
  readonly config: ProxmoxConfig
  secret: string
  /** Gives the token what it needs for this number. */
  grant(vmid: number): Promise<void>
  make(more?: Partial<BuildTemplate>, options?: { signal?: AbortSignal; patience?: BuildPatience; tell?: Tell }): Promise<Made>
  close(): Promise<void>
}

export async function buildStage(options: Options = {}): Promise<BuildStage> {
  const images = createServer((request, response) => {
    if (request.url === '/SHA256SUMS') return void response.end(`${'0'.repeat(64)} *other.img\n${IMAGE_SHA256} *noble.img\n`)
    if (request.url === '/moved/SHA256SUMS') return void response.writeHead(302, { location: 'http://images.example.com/SHA256SUMS' }).end()
    response.end(IMAGE)
  })
  await new Promise<void>((resolve) => images.listen(0, '127.0.0.1', resolve))
  const imageUrl = `http://127.0.0.1:${(images.address() as AddressInfo).port}/noble.img`
  let guests: InstallingGuests | undefined
  const pve = await startProxmox({
    secondMs: 1,
    broadcastEveryS: 0,
    nodes: [{ name: 'pve1' }, { name: 'pve2' }],
    storages: [{ id: 'thin', type: 'lvmthin' }],
    guests: (directory) => {
      guests = new InstallingGuests(directory)
      return guests
    },
    ...options,
  })
  if (guests === undefined) throw new Error('the stand-in made no guests')
  const config = ProxmoxConfig.parse({
    doors: [...pve.urls].map(([name, url]) => ({ url, fingerprint: pve.fingerprints.get(name) })),
    ca: null,
    token_id: 'autovibe@pve!hub',
    nodes: null,
    storage: 'thin',
    bridge: 'vmbr1',
    templates: [{ vmid: 9000 }],
    vmids: { from: 900_000, to: 909_999 },
    pool: 'autovibe',
    gate: { listen: '0.0.0.0:7443', advertised: '10.90.0.2:7443' },
    network: { kind: 'dhcp' },
    cores: 1,
    memory_mib: 1024,
    snapshots_most: 3,
    include_ram: false,
    spread_projects: true,
  })
  const target = { name: 'lab', config }
  await pve.pveum('pveum pool add autovibe')
  const given = { node: 'pve1', image_storage: 'local', token_id: TOKEN_ID, image_url: imageUrl, image_sha256: IMAGE_SHA256 }
  const wishOf = (more: Partial<BuildTemplate>): z.output<typeof BuildTemplate> => BuildTemplate.parse({ ...given, token_secret: stage.secret, ...more })
  const stage: BuildStage = {
    pve,
    guests,
    imageUrl,
    config,
    secret: '',
    grant: async (vmid) => {
      const { lines } = buildLines(siteOf(wishOf({ token_secret: 'no-secret-yet', vmid }), target), TOKEN)
      const isFirst = stage.secret === ''
      for (const line of lines) {
        // Roles, user and token are there from the first time on.
        if (!isFirst && !line.includes(' acl modify ')) continue
        const answer = (await pve.pveum(line.replace(/ --expire \$\(.*\)$/, ''))) as { value?: string } | null
        if (answer?.value !== undefined) stage.secret = answer.value
      }
    },
    make: (more = {}, { signal = new AbortController().signal, patience = PATIENCE, tell = () => undefined } = {}) =>
      makeTemplate(wishOf(more), target, { tell, signal, patience, limits: SHORT }),
    close: async () => {
      await pve.close()
      images.closeAllConnections()
      await new Promise<void>((resolve) => images.close(() => resolve()))
      if (pve.violations.length > 0) throw new Error(`the stand-in broke its description:\n${pve.violations.join('\n')}`)
    },
  }
  return stage
}
