/** For the tests of what is behind VMs: boots, networks and files that a guest writes, without a cluster around them. */
import { spawnSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { until } from '../support/until.ts'
import type { Boot, Disk, FirewallRule, GuestAgent, Network } from './guests.ts'

const WAIT_MS = 60_000

export const diskOf = (key: string): Disk => ({ key, sizeBytes: 1024 ** 3, format: 'raw' })

export const openNetwork: Network = {
  nics: [{ index: 0, mac: 'BC:24:11:00:00:01', bridge: 'vmbr1', fenced: false, linkDown: false }],
  policyIn: 'DROP',
  policyOut: 'ACCEPT',
  rules: [],
}

export const fencedNetwork = (...rules: readonly Partial<FirewallRule>[]): Network => ({
  ...openNetwork,
  nics: openNetwork.nics.map((nic) => ({ ...nic, fenced: true })),
  policyOut: 'DROP',
  rules: rules.map((rule) => ({ direction: 'out', action: 'ACCEPT', enabled: true, ...rule })),
})

export const bootOf = (vmid: number, disks: readonly Disk[], more: Partial<Boot> = {}): Boot => ({
  vmid,
  node: 'pve1',
  name: `vm-${vmid}`,
  cores: 1,
  memoryMib: 512,
  disks,
  network: openNetwork,
  cloudInit: null,
  config: {},
  memory: null,
  ...more,
})

/** The file's text once it is there and `isRight`. */
export const fileOf = (path: string, isRight: (text: string) => boolean = (text) => text !== ''): Promise<string> =>
  until(`${path} is right`, WAIT_MS, async () => {
    const text = await readFile(path, 'utf8').catch(() => '')
    return isRight(text) ? text : undefined
  })

export interface Ran {
  readonly exitcode?: number
  readonly signal?: number
  readonly out: string
  readonly errors: string
}

/** Runs a command by the guest's agent, to its end. */
export async function ranBy(agent: GuestAgent | null, command: readonly string[], input = ''): Promise<Ran> {
  if (!agent) throw new Error('the guest agent does not answer')
  const [path, ...arg] = command
  const { pid } = (await agent.execute('guest-exec', { path, arg, 'capture-output': true, 'input-data': Buffer.from(input).toString('base64') })) as {
    pid: number
  }
  const status = await until(`${command.join(' ')} ends`, WAIT_MS, async () => {
    const answer = (await agent.execute('guest-exec-status', { pid })) as Readonly<Record<string, unknown>>
    return answer['exited'] === true ? answer : undefined
  })
  const text = (name: string): string => Buffer.from(String(status[name] ?? ''), 'base64').toString('utf8')
  return { ...status, out: text('out-data'), errors: text('err-data') }
}

/** Why this host can run no sandboxed guests; false when it can. */
export function sandboxRefused(): string | false {
  for (const [command = '', ...args] of [
    ['bwrap', '--ro-bind', '/', '/', '--unshare-pid', '--unshare-net', '--unshare-uts', 'true'],
    ['nsenter', '--version'],
    ['/sbin/ip', '-V'],
  ]) {
    const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' })
    if (status !== 0) return `no sandbox for guests: ${error?.message ?? stderr.trim()} (apt-get install bubblewrap util-linux iproute2)`
  }
  return false
}
