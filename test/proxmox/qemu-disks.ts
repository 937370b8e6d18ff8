/** Disks of real VMs: qcow2 files with their snapshots inside. */
import { execFile } from 'node:child_process'
import { mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Disk, DiskSource } from './guests.ts'

const run = promisify(execFile)
const IMG_MS = 300_000

export class QemuDisks {
  readonly #root: string

  constructor(root: string) {
    this.#root = root
  }

  file(disk: Disk): string {
    return join(this.#root, disk.key, 'disk.qcow2')
  }

  /** A file of ours that nobody writes to is a base to build upon. */
  async create(disk: Disk, source: DiskSource): Promise<void> {
    const file = await this.#place(disk)
    if (source.kind === 'empty') await img('create', '-q', '-f', 'qcow2', file, String(disk.sizeBytes))
    else await img('create', '-q', '-f', 'qcow2', '-b', source.path, '-F', 'qcow2', file)
  }

  /** A snapshot lies within its file, which goes on to change: nothing can be linked to it, so its clone is always full. */
  async clone(from: Disk, snapshot: string | null, to: Disk, how: 'linked' | 'full'): Promise<void> {
    const file = await this.#place(to)
    if (snapshot === null && how === 'linked') await img('create', '-q', '-f', 'qcow2', '-b', this.file(from), '-F', 'qcow2', file)
    else {
      const which = snapshot === null ? [] : ['-l', `snapshot.name=${snapshot}`]
      await img('convert', '-U', ...which, '-f', 'qcow2', '-O', 'qcow2', this.file(from), file)
    }
  }

  async resize(disk: Disk, sizeBytes: number): Promise<void> {
    await img('resize', '-q', this.file(disk), String(sizeBytes))
  }

  async keep(disk: Disk, name: string): Promise<void> {
    await img('snapshot', '-c', name, this.file(disk))
  }

  async goBack(disk: Disk, name: string): Promise<void> {
    await img('snapshot', '-a', name, this.file(disk))
  }

  async drop(disk: Disk, name: string): Promise<void> {
    await img('snapshot', '-d', name, this.file(disk))
  }

  async delete(disk: Disk): Promise<void> {
    await rm(join(this.#root, disk.key), { recursive: true, force: true })
  }

  async #place(disk: Disk): Promise<string> {
    await mkdir(dirname(this.file(disk)), { recursive: true })
    return this.file(disk)
  }
}

const img = (...args: string[]): Promise<unknown> => run('qemu-img', args, { timeout: IMG_MS })
