/** What a build goes by: what was asked, what the cluster was brought with, the image with its sum, and the names that follow from all that. */
import type { ProxmoxConfig } from '@autovibe/contract'
import { AutovibeError, BuildTemplate } from '@autovibe/contract'
import { type BuildNames, buildNames } from '@autovibe/core/proxmox/template-build.ts'
import type { z } from 'zod'
import type { BuildSite } from '../client/template-needs.ts'
import type { Seed } from './seed.ts'

export type Wish = z.output<typeof BuildTemplate>

export interface BuildTarget {
  /** Of the substrate. */
  readonly name: string
  readonly config: ProxmoxConfig
}

export interface Plan extends BuildSite {
  readonly substrate: string
  readonly names: BuildNames
  readonly buildBridge: string
  readonly machinesBridge: string
  readonly diskBytes: number
  /** `given`: the sum as it was asked for. */
  readonly image: { readonly url: string; readonly sha256: string; readonly given: string | null }
  /** Of the command, as far as they are not what it takes without them. */
  readonly flags: string
  /** The numbers of machines, which no template has. */
  readonly vmids: ProxmoxConfig['vmids']
  readonly seed: Seed
}

const GIB = 1024 ** 3

/** The number that was asked for, or that of the template with which the cluster was brought for this node. */
export function vmidOf({ vmid, node }: { readonly vmid: number | null; readonly node: string }, { name, config }: BuildTarget): number {
  const brought = config.templates.find((each) => each.node === node) ?? config.templates.find((each) => each.node === null)
  const chosen = vmid ?? brought?.vmid
  if (chosen === undefined)
    throw new AutovibeError('request.invalid', `${name} has no template for ${node} whose number this one could have.`, { fix: 'Give it one: --vmid 9001' })
  if (chosen >= config.vmids.from && chosen <= config.vmids.to)
    throw new AutovibeError('request.invalid', `The number ${chosen} is among those of machines.`, {
      fix: `Give it a free number outside ${config.vmids.from}-${config.vmids.to}: --vmid VMID`,
    })
  return chosen
}

/** Each is part of what the build is named by: without them the same command would be another build's. */
function flagsOf({ disk_gib, image_url, network }: Wish): string {
  const { disk_gib: disk, image_url: image } = BuildTemplate.shape
  return [
    ...(disk_gib === disk.parse(undefined) ? [] : [`--disk ${disk_gib}`]),
    ...(network.kind === 'dhcp' ? [] : [`--ip ${network.address},gw=${network.gateway} --nameserver ${network.nameserver}`]),
    // Its address may hold what a shell would read, but no quote.
    ...(image_url === image.parse(undefined) ? [] : [`--image '${image_url}'`]),
  ]
    .map((flag) => ` ${flag}`)
    .join('')
}

/** Where it is made, which is also what its token must be let at. */
export function siteOf(wish: Pick<Wish, 'vmid' | 'node' | 'image_storage' | 'bridge'>, target: BuildTarget): BuildSite {
  const { storage, bridge, pool } = target.config
  return { node: wish.node, vmid: vmidOf(wish, target), imageStorage: wish.image_storage, storage, bridges: [wish.bridge, bridge], pool }
}

export function planOf(wish: Wish, target: BuildTarget, sha256: string, seedOf: (settings: object) => Seed): Plan {
  const { config } = target
  const site = siteOf(wish, target)
  const diskBytes = wish.disk_gib * GIB
  // Whoever asks for another place or another size asks for another template.
  const seed = seedOf({ ...site, diskBytes, image: sha256 })
  return {
    ...site,
    substrate: target.name,
    names: buildNames(site.vmid, seed.hash, sha256),
    buildBridge: wish.bridge,
    machinesBridge: config.bridge,
    diskBytes,
    image: { url: wish.image_url, sha256, given: wish.image_sha256 },
    flags: flagsOf(wish),
    vmids: config.vmids,
    seed,
  }
}
