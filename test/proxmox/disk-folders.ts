/** Disks that are folders: copied whole, or snapshots of btrfs subvolumes where they lie on one. */
import { execFile } from 'node:child_process'
import { mkdir, rename, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Disk } from './guests.ts'

const run = promisify(execFile)
/** statfs(2); every subvolume's root has the same inode number. */
const BTRFS_MAGIC = 0x9123683e
const SUBVOLUME_INODE = '256'

export class DiskFolders {
  readonly #root: string
  readonly #areSubvolumes: boolean

  constructor(root: string, areSubvolumes: boolean) {
    this.#root = root
    this.#areSubvolumes = areSubvolumes
  }

  static async open(root: string): Promise<DiskFolders> {
    await mkdir(root, { recursive: true })
    return new DiskFolders(root, (await statfs(root)).type === BTRFS_MAGIC)
  }

  /** Where a disk's files are. */
  folder(disk: Disk): string {
    return join(this.#root, disk.key, 'disk')
  }

  async create(disk: Disk): Promise<void> {
    await mkdir(dirname(this.folder(disk)), { recursive: true })
    if (this.#areSubvolumes) await run('btrfs', ['subvolume', 'create', '--', this.folder(disk)])
    else await mkdir(this.folder(disk), { recursive: true })
  }

  async clone(from: Disk, snapshot: string | null, to: Disk): Promise<void> {
    await this.#copy(snapshot === null ? this.folder(from) : this.#kept(from, snapshot), this.folder(to))
  }

  async keep(disk: Disk, name: string): Promise<void> {
    await this.#copy(this.folder(disk), this.#kept(disk, name))
  }

  async goBack(disk: Disk, name: string): Promise<void> {
    const back = `${this.folder(disk)}.back`
    await this.#copy(this.#kept(disk, name), back)
    await this.#remove(this.folder(disk))
    await rename(back, this.folder(disk))
  }

  async drop(disk: Disk, name: string): Promise<void> {
    await this.#remove(this.#kept(disk, name))
  }

  async delete(disk: Disk): Promise<void> {
    await this.#remove(join(this.#root, disk.key))
  }

  async close(): Promise<void> {
    await this.#remove(this.#root)
  }

  #kept(disk: Disk, name: string): string {
    return join(this.#root, disk.key, 'snapshots', name)
  }

  async #copy(from: string, to: string): Promise<void> {
    await mkdir(dirname(to), { recursive: true })
    if (!this.#areSubvolumes) return void (await run('cp', ['-a', '--reflink=auto', '--', from, to]))
    const copied: { readonly at: string; readonly isReadOnly: boolean }[] = []
    for (const source of await subvolumes(from)) {
      const at = join(to, source.slice(from.length))
      // A snapshot shows an empty folder where another subvolume lay in its original.
      if (source !== from) await run('rmdir', ['--', at])
      await run('btrfs', ['subvolume', 'snapshot', '--', source, at])
      copied.push({ at, isReadOnly: (await run('btrfs', ['property', 'get', '-ts', source, 'ro'])).stdout.trim() === 'ro=true' })
    }
    for (const { at, isReadOnly } of copied.reverse()) if (isReadOnly) await run('btrfs', ['property', 'set', '-ts', at, 'ro', 'true'])
  }

  async #remove(folder: string): Promise<void> {
    if (this.#areSubvolumes) for (const each of (await subvolumes(folder)).reverse()) await run('btrfs', ['subvolume', 'delete', '--', each])
    await run('rm', ['-rf', '--one-file-system', '--', folder])
  }
}

/** Every subvolume at or below a folder, the outer ones first; none where the folder is not there. */
async function subvolumes(folder: string): Promise<string[]> {
  const found = await run('find', [folder, '-type', 'd', '-inum', SUBVOLUME_INODE, '-print0'], { maxBuffer: 64 * 1024 * 1024 }).catch(
    (error: { readonly stderr?: string }) => {
      if (/No such file/.test(error.stderr ?? '')) return { stdout: '' }
      throw error
    },
  )
  return found.stdout.split('\0').filter((path) => path !== '')
}
