/** What a sandboxed guest sees of the host: bubblewrap's arguments. */
import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** Where the first disk stands in the guest, and where its kernel shows the serial number of its SMBIOS. */
export const DISK = '/var/lib/autovibe'
export const SERIAL = '/sys/class/dmi/id/product_serial'

const CHECKOUT = resolve(import.meta.dirname, '../..')
const NODE = dirname(process.execPath)

export interface View {
  /** The first disk's folder on the host; null for a VM without one. */
  readonly disk: string | null
  /** Files on the host with the serial number and with what tells this boot from others. */
  readonly serial: string
  readonly bootId: string
  readonly hostname: string
  /** More folders of the host that the guest may read. */
  readonly readable: readonly string[]
}

/** Everything up to the command. Descriptor 3 tells of the sandbox's first process, 4 holds the command up until somebody writes to it. */
export function bubblewrap(view: View, isRoot: boolean): string[] {
  return [
    ...['--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-net', '--unshare-cgroup-try', '--die-with-parent', '--new-session'],
    ...(isRoot ? [] : ['--unshare-user', '--uid', '0', '--gid', '0']),
    ...['--hostname', view.hostname, '--info-fd', '3', '--block-fd', '4', '--clearenv'],
    ...['--setenv', 'PATH', `${NODE}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`, '--setenv', 'HOME', '/root'],
    // Before what may lie below them on the host.
    ...['--tmpfs', '/run', '--perms', '1777', '--tmpfs', '/tmp'],
    ...[NODE, CHECKOUT, DISK, SERIAL, ...view.readable].flatMap(foldersAbove),
    ...['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/etc'].filter((path) => existsSync(path)).flatMap(readOnly),
    ...[NODE, CHECKOUT, ...view.readable].flatMap(readOnly),
    ...['--proc', '/proc', '--ro-bind', view.bootId, '/proc/sys/kernel/random/boot_id', '--dev', '/dev'],
    ...['--dir', '/root', '--dir', DISK],
    ...(view.disk === null ? [] : ['--bind', view.disk, DISK]),
    ...['--ro-bind', view.serial, SERIAL, '--chdir', '/', '--'],
  ]
}

/** Open to every user of the guest: what bubblewrap makes on the way to something is open to root alone. */
const foldersAbove = (path: string): string[] => (dirname(path) === '/' ? [] : [...foldersAbove(dirname(path)), '--dir', dirname(path)])
const readOnly = (path: string): string[] => ['--ro-bind', path, path]
