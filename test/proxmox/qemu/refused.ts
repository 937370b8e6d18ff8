/** Whether this host can run real VMs, and why not. */
import { spawnSync } from 'node:child_process'

/** False when it can; root or another user, with KVM or without it, does not matter. */
export function vmsRefused(): string | false {
  for (const [command, ...args] of [
    ['qemu-system-x86_64', '--version'],
    ['qemu-img', '--version'],
    ['mkfs.ext4', '-V'],
    ['dpkg-deb', '--version'],
    ['apt-get', '--version'],
  ] as const) {
    const { error } = spawnSync(command, args, { env: { PATH: `${process.env['PATH']}:/usr/sbin:/sbin` } })
    if (error) return `${command} is not there (${(error as NodeJS.ErrnoException).code}): apt-get install qemu-system-x86 qemu-utils e2fsprogs`
  }
  return process.arch === 'x64' ? false : `the test VM is of x64, this host of ${process.arch}`
}
