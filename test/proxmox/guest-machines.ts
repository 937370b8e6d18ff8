/** Sandboxed VMs as made from our template: the guest program runs in each from boot on, with its state on the first disk, and reaches the Hub's gate and nothing else. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { type MachineParts, type OpenMachines, placesOf } from './machines.ts'
import { SandboxGuests } from './sandbox-guests.ts'
import { DISK, SERIAL } from './sandbox-view.ts'

const CHECKOUT = resolve(import.meta.dirname, '../..')
/** What a system keeps that was cloned with the disk: a sandbox's own is the host's, and read-only. */
const SYSTEM = `${DISK}/system`
const BOOT = 'mkdir -p "$1/etc"; shift; exec "$@"'

export interface GuestMachinesOptions extends Pick<MachineParts, 'root' | 'gate'> {
  /** The template's agent unless it says so. */
  readonly agentCommand?: readonly string[]
  /** More for the guest's command line. */
  readonly args?: readonly string[]
  /** Folders of the host that guests may read besides. */
  readonly readable?: readonly string[]
}

export function openGuestMachines({ root, gate, agentCommand, args = [], readable = [] }: GuestMachinesOptions): Promise<SandboxGuests> {
  const own = ['--invitation', SERIAL, '--rekey-root', SYSTEM, ...(agentCommand ? ['--agent-command', JSON.stringify(agentCommand)] : []), ...args]
  // Whoever is root in the sandbox alone can become no other user there.
  const asOrdinary = process.getuid?.() === 0 ? [] : ['--user', 'none', '--tree-at', 'none']
  return SandboxGuests.open({
    root,
    command: () => ['/bin/sh', '-c', BOOT, 'sh', SYSTEM, process.execPath, resolve(CHECKOUT, 'packages/guest/main.ts'), ...asOrdinary, ...own],
    readable,
    reachable: () => placesOf(gate),
  })
}

export const openSandboxMachines: OpenMachines = async ({ root, gate, agent, agentsDir }) => ({
  guests: await openGuestMachines({
    root,
    gate,
    agentCommand: [process.execPath, agent],
    args: ['--agents', agentsDir],
    readable: existsSync(agentsDir) ? [agentsDir] : [],
  }),
  // What lies on it the guest makes itself.
  templateDisk: async (_pve, _node, storage) => `${storage}:2`,
})
