/** What Proxmox answers, as far as it is read: unknown fields are dropped, numbers that come as text and flags that come as 0 and 1 are read as what they are. */
import { parseUpid } from '@autovibe/core/proxmox/upid.ts'
import { z } from 'zod'

const DIGITS = /^-?\d{1,15}$/
/** A whole number that a double holds exactly; Perl sends some as text. */
const whole = z.union([z.int(), z.string().regex(DIGITS).transform(Number)])
const decimal = z.union([
  z.number(),
  z
    .string()
    .regex(/^-?\d{1,15}(\.\d{1,20})?(e[+-]?\d{1,2})?$/)
    .transform(Number),
])
/** Perl's truth: 1, 0, '1', '0' and ''. */
const flag = z.union([z.boolean(), z.literal([0, 1, '0', '1', '']).transform((value) => value === 1 || value === '1')])
const vmid = whole.refine((value) => value >= 100 && value <= 999_999_999, 'a VMID')

export const Nothing = z.null().optional()
/** `OK` alone: no VM of those that were named is on this node, and nothing was begun. */
export const UpidOrNothing = z.string().refine((text) => text === 'OK' || parseUpid(text) !== null, 'a UPID')
export const UpidText = z.string().refine((text) => parseUpid(text) !== null, 'a UPID')

export const FreeVmid = vmid
export const Version = z.object({ version: z.string(), release: z.string(), repoid: z.string() })
/** Path to privilege to whether it reaches what is below. */
export const Permissions = z.record(z.string(), z.record(z.string(), flag))

const Resource = z.object({
  id: z.string(),
  type: z.string(),
  node: z.string().optional(),
  vmid: vmid.optional(),
  name: z.string().optional(),
  status: z.string().optional(),
  tags: z.string().optional(),
  lock: z.string().optional(),
  template: flag.optional(),
  hastate: z.string().optional(),
  storage: z.string().optional(),
  plugintype: z.string().optional(),
  content: z.string().optional(),
  shared: flag.optional(),
  cpu: decimal.optional(),
  maxcpu: decimal.optional(),
  mem: whole.optional(),
  maxmem: whole.optional(),
  disk: whole.optional(),
  maxdisk: whole.optional(),
  uptime: whole.optional(),
  netin: whole.optional(),
  netout: whole.optional(),
})
export const Resources = z.array(Resource)
/** The cluster's own entry, which a single node has not, and one for each node. */
export const ClusterStatus = z.array(z.object({ type: z.string(), name: z.string(), quorate: flag.optional(), online: flag.optional() }))
/** Of the datacenter, or of a node. */
export const FirewallSwitch = z.object({ enable: flag.optional() })
export const Nodes = z.array(z.object({ node: z.string(), status: z.string(), ssl_fingerprint: z.string().optional() }))
/** As its guest agent tells it. */
export const HostName = z.object({ result: z.object({ 'host-name': z.string() }) })
export const Pools = z.array(z.object({ poolid: z.string() }))
const amounts = z.object({ total: whole, used: whole, free: whole })
export const NodeStatus = z.object({
  cpu: decimal,
  cpuinfo: z.object({ cpus: whole }),
  memory: amounts,
  rootfs: amounts,
  uptime: whole.optional(),
  pveversion: z.string(),
})
export const Bridges = z.array(z.object({ iface: z.string(), type: z.string(), active: flag.optional() }))

const task = { upid: UpidText, node: z.string(), type: z.string(), id: z.string(), user: z.string(), starttime: whole }
export const Tasks = z.array(z.object({ ...task, endtime: whole.optional(), status: z.string().optional() }))
export const TaskStatus = z.object({ ...task, status: z.string(), exitstatus: z.string().optional() })
export const TaskLog = z.array(z.object({ n: whole, t: z.string() }))

const storage = { type: z.string(), content: z.string(), active: flag.optional(), enabled: flag.optional(), shared: flag.optional() }
const room = { total: whole.optional(), used: whole.optional(), avail: whole.optional() }
export const Storages = z.array(z.object({ storage: z.string(), ...storage, ...room }))
export const StorageStatus = z.object({ ...storage, ...room })
/** Of backups also what people see beside them; only a backup server tells of `verification`. */
export const Volumes = z.array(
  z.object({
    volid: z.string().max(1000),
    size: whole,
    format: z.string(),
    vmid: vmid.optional(),
    ctime: whole.optional(),
    notes: z.string().optional(),
    protected: flag.optional(),
    verification: z.object({ state: z.string() }).optional(),
  }),
)

export const VmStatus = z.object({
  vmid,
  status: z.string(),
  name: z.string().optional(),
  qmpstatus: z.string().optional(),
  lock: z.string().optional(),
  tags: z.string().optional(),
  agent: flag.optional(),
  cpu: decimal.optional(),
  cpus: decimal.optional(),
  mem: whole.optional(),
  maxmem: whole.optional(),
  maxdisk: whole.optional(),
  diskread: whole.optional(),
  diskwrite: whole.optional(),
  netin: whole.optional(),
  netout: whole.optional(),
  uptime: whole.optional(),
})
/** Options by name, as text; which there are depends on the VM. */
export const VmConfig = z.record(z.string(), z.union([z.string(), z.number().transform(String), z.boolean().transform((value) => (value ? '1' : '0'))]))
export const Feature = z.object({ hasFeature: flag, nodes: z.array(z.string()) })
export const Snapshots = z.array(
  z.object({ name: z.string(), description: z.string(), parent: z.string().optional(), snaptime: whole.optional(), vmstate: flag.optional() }),
)
/** What is no number is none: RRD has holes, and words for them. */
export const Figures = z.array(z.record(z.string(), decimal.nullable().catch(null)))
export const FirewallOptions = z.object({
  enable: flag.optional(),
  ipfilter: flag.optional(),
  policy_in: z.string().optional(),
  policy_out: z.string().optional(),
})
export const FirewallRules = z.array(
  z.object({
    pos: whole,
    type: z.string(),
    action: z.string(),
    enable: flag.optional(),
    dest: z.string().optional(),
    dport: z.string().optional(),
    proto: z.string().optional(),
    comment: z.string().optional(),
  }),
)
/** A guest's agent answers in its own shape, which nobody reads. */
export const Unread = z.unknown()
