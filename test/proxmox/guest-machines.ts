/** Sandboxed VMs as made from our template: the guest program runs in each from boot on, with its state on the first disk, and reaches the Hub's gate and nothing else. */
import { resolve } from 'node:path'
import { SandboxGuests } from './sandbox-guests.ts'
import { DISK, SERIAL } from './sandbox-view.ts'

const CHECKOUT = resolve(import.meta.dirname, '../..')
/** What a system keeps that was cloned with the disk: a sandbox's own is the host's, and read-only. */
const SYSTEM = `${DISK}/system`
const BOOT = 'mkdir -p "$1/etc"; shift; exec "$@"'

export interface GuestMachinesOptions {
  /** A folder of its own, removed at the end. */
  readonly root: string
  /** Where machines reach the gate, as the Hub advertises it and as a firewall's rules name it, and the port on which it really listens. */
  readonly gate: { readonly address: string; readonly port: number; readonly listens: () => number }
  /** More addresses that lead there, when a rule lets out to them. */
  readonly gateAlso?: readonly string[]
  /** The template's agent unless it says so. */
  readonly agentCommand?: readonly string[]
  /** More for the guest's command line. */
  readonly args?: readonly string[]
  /** Folders of the host that guests may read besides. */
  readonly readable?: readonly string[]
}

export function openGuestMachines({ root, gate, gateAlso = [], agentCommand, args = [], readable = [] }: GuestMachinesOptions): Promise<SandboxGuests> {
  const own = ['--invitation', SERIAL, '--rekey-root', SYSTEM, ...(agentCommand ? ['--agent-command', JSON.stringify(agentCommand)] : []), ...args]
  // Whoever is root in the sandbox alone can become no other user there.
  const asOrdinary = process.getuid?.() === 0 ? [] : ['--user', 'none', '--tree-at', 'none']
  return SandboxGuests.open({
    root,
    command: () => ['/bin/sh', '-c', BOOT, 'sh', SYSTEM, process.execPath, resolve(CHECKOUT, 'packages/guest/main.ts'), ...asOrdinary, ...own],
    readable,
    reachable: () => [gate.address, ...gateAlso].map((address) => ({ address, port: gate.port, to: { host: '127.0.0.1', port: gate.listens() } })),
  })
}
