/** A stand-in with a template on it, for the tests that go on from there. */
import { type Asker, asker, type Fields } from './ask.ts'
import { PlainGuests } from './plain-guests.ts'
import { type Options, type ProxmoxStandIn, startProxmox } from './stand-in.ts'

export interface Stage {
  readonly pve: ProxmoxStandIn
  readonly root: Asker
  readonly guests: PlainGuests
  /** A VM with a disk of 1 GiB, an agent, a card behind the firewall and a cloud-init drive. */
  create(vmid: number, storage: string, more?: Fields): Promise<void>
  /** Ends everything; nothing of our own was out of Proxmox's description. */
  close(): Promise<void>
}

export async function stage(options: Options = {}): Promise<Stage> {
  let guests: PlainGuests | undefined
  const pve = await startProxmox({
    secondMs: 4,
    ...options,
    guests: (directory) => {
      guests = new PlainGuests(`${directory}/guests`)
      return guests
    },
  })
  if (!guests) throw new Error('the stand-in made no guests')
  const root = asker(pve)
  return {
    pve,
    root,
    guests,
    create: async (vmid, storage, more = {}) => {
      const fields = {
        vmid,
        name: `vm-${vmid}`,
        memory: '512',
        cores: 1,
        agent: '1',
        scsi0: `${storage}:1`,
        ide2: `${storage}:cloudinit`,
        net0: 'virtio,bridge=vmbr1,firewall=1',
        ...more,
      }
      expectOk(await root.task('POST', '/nodes/pve1/qemu', fields))
    },
    close: async () => {
      await pve.close()
      if (pve.violations.length > 0) throw new Error(`the stand-in broke its description:\n${pve.violations.join('\n')}`)
    },
  }
}

export function expectOk(exitstatus: string): void {
  if (exitstatus !== 'OK') throw new Error(`the task ended with ${exitstatus}`)
}
