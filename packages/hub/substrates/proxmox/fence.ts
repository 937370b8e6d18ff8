/** The wall around a VM: it reaches its Hub's gate, and nothing else. */
import { type Rule, rulesOf } from '@autovibe/core/proxmox/vm-config.ts'
import type { VmRecord } from './records.ts'
import type { Site } from './site.ts'

export async function fence(site: Site, { node, vmid }: VmRecord, signal: AbortSignal): Promise<void> {
  const { client, settings } = site
  const wanted = rulesOf(settings.gate)
  const found = await client.call('GET /nodes/{node}/qemu/{vmid}/firewall/rules', { node, vmid }, { signal })
  if (!sameRules(found, wanted)) {
    // From the last to the first, so that the others keep their places.
    for (const { pos } of found.toSorted((left, right) => right.pos - left.pos))
      await client.call('DELETE /nodes/{node}/qemu/{vmid}/firewall/rules/{pos}', { node, vmid, pos }, { signal })
    for (const rule of wanted.toReversed())
      await client.call('POST /nodes/{node}/qemu/{vmid}/firewall/rules', { node, vmid, ...rule, enable: 1, comment: 'autovibe: the Hub' }, { signal })
  }
  await client.call(
    'PUT /nodes/{node}/qemu/{vmid}/firewall/options',
    { node, vmid, enable: true, policy_in: 'DROP', policy_out: 'DROP', dhcp: /\bip=dhcp\b/.test(settings.ipConfig(vmid)), macfilter: true },
    { signal, idempotent: true },
  )
}

type FoundRule = { readonly [K in keyof Rule]?: string | undefined } & { readonly enable?: boolean | undefined }

const sameRules = (found: readonly FoundRule[], wanted: readonly Rule[]): boolean =>
  found.length === wanted.length &&
  wanted.every((rule, index) => {
    const there = found[index]
    return there?.enable === true && (['type', 'action', 'proto', 'dest', 'dport'] as const).every((key) => there[key] === rule[key])
  })
