/** A UPID, the name that Proxmox gives a task: taken apart exactly as Proxmox takes it apart, so that nothing else is ever asked for under that name. */

export interface Upid {
  readonly upid: string
  readonly node: string
  readonly pid: number
  /** When the worker's process began, in the kernel's ticks since boot. */
  readonly pstart: number
  /** Seconds since 1970. */
  readonly starttimeS: number
  readonly type: string
  /** What it works on, mostly a VMID; may be empty. */
  readonly id: string
  /** `name@realm`, with `!token` for a token's. */
  readonly user: string
}

const MOST_CHARACTERS = 512
const SHAPE = /^UPID:([a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?):([0-9A-Fa-f]{8}):([0-9A-Fa-f]{8,9}):([0-9A-Fa-f]{8}):([^:\s/]+):([^:\s/]*):([^:\s/]+):$/

/** Null for anything that is not one. */
export function parseUpid(text: string): Upid | null {
  if (text.length > MOST_CHARACTERS) return null
  const match = SHAPE.exec(text)
  if (!match) return null
  const [, node = '', pid = '', pstart = '', starttime = '', type = '', id = '', user = ''] = match
  const hex = (digits: string): number => Number.parseInt(digits, 16)
  return { upid: text, node, pid: hex(pid), pstart: hex(pstart), starttimeS: hex(starttime), type, id, user }
}
