/** Whether this host can run real VMs, and why not. */
import { spawnSync } from 'node:child_process'
import { vmImage } from './image.ts'

/** False when it can, and their image is there; root or another user, with KVM or without it, does not matter. */
export async function vmsRefused(): Promise<string | false> {
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
  if (process.arch !== 'x64') return `the test VM is of x64, this host of ${process.arch}`
  try {
    await vmImage()
    return false
  } catch (error) {
    return `the test VM could not be built: ${error instanceof Error ? error.message : error}`
  }
}
