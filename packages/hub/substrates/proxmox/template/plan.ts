/** What a build goes by: what was asked, what the cluster was brought with, the image with its sum, and the names that follow from all that. */
import type { BuildTemplate, ProxmoxConfig } from '@autovibe/contract'
import { AutovibeError } from '@autovibe/contract'
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
  readonly pool: string
  readonly buildBridge: string
  readonly machinesBridge: string
  readonly diskBytes: number
  readonly image: { readonly url: string; readonly sha256: string }
  readonly keepImage: boolean
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
      fix: `Give it one outside of ${config.vmids.from} to ${config.vmids.to}: --vmid 9000`,
    })
  return chosen
}

/** Where it is made, which is also what its token must be let at. */
export function siteOf(wish: Pick<Wish, 'vmid' | 'node' | 'image_storage' | 'bridge'>, target: BuildTarget): BuildSite {
  const { storage, bridge } = target.config
  return { node: wish.node, vmid: vmidOf(wish, target), imageStorage: wish.image_storage, storage, bridges: [wish.bridge, bridge] }
}

export function planOf(wish: Wish, target: BuildTarget, sha256: string, seedOf: (settings: object) => Seed): Plan {
  const { config } = target
  const site = siteOf(wish, target)
  const diskBytes = wish.disk_gib * GIB
  // Whoever asks for another place or another size asks for another template.
  const seed = seedOf({ ...site, pool: config.pool, diskBytes, image: sha256 })
  return {
    ...site,
    substrate: target.name,
    names: buildNames(site.vmid, seed.hash, sha256),
    pool: config.pool,
    buildBridge: wish.bridge,
    machinesBridge: config.bridge,
    diskBytes,
    image: { url: wish.image_url, sha256 },
    keepImage: wish.keep_image,
    seed,
  }
}
