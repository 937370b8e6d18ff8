/** Builds the test VM's kernel, initramfs and root disk from Debian's packages, once; they lie in the user's cache. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import cacheDir from '../../../scripts/cache-dir.cjs'
import { KERNEL_PACKAGE, MODULES, PACKAGES } from './packages.ts'
import { EARLY_INIT, SYSTEM_FILES, SYSTEM_FOLDERS } from './system-files.ts'

const run = promisify(execFile)
const CHECKOUT = resolve(import.meta.dirname, '../../..')
const TOOL_MS = 600_000
/** Of the disk as its VM sees it. */
export const DISK_BYTES = 1024 ** 3

export interface VmImage {
  readonly kernel: string
  readonly initramfs: string
  /** A qcow2 that nobody writes to. */
  readonly disk: string
}

/** The image, built where it is not there yet. What was fetched stays when a build is cut off. */
export async function vmImage(): Promise<VmImage> {
  const cache = join(cacheDir.findCacheDir(CHECKOUT, process.env), 'test-vm')
  const folder = join(cache, await keyOfImage())
  const image = { kernel: join(folder, 'vmlinuz'), initramfs: join(folder, 'initramfs'), disk: join(folder, 'root.qcow2') }
  if (existsSync(folder)) return image
  const packages = await fetchPackages(join(cache, 'packages'))
  const work = await mkdtemp(join(cache, 'building-'))
  try {
    await build(work, packages)
    await mkdir(join(work, 'done'))
    for (const file of Object.values(image)) await rename(join(work, file.slice(folder.length + 1)), join(work, 'done', file.slice(folder.length + 1)))
    // Whoever was faster has built the same.
    await rename(join(work, 'done'), folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  return image
}

/** Differs when what is built, or how, is changed. */
async function keyOfImage(): Promise<string> {
  const hash = createHash('sha256').update(process.version)
  for (const name of ['image.ts', 'packages.ts', 'system-files.ts']) hash.update(await readFile(join(import.meta.dirname, name)))
  return hash.digest('hex').slice(0, 16)
}

async function fetchPackages(folder: string): Promise<{ readonly kernel: string; readonly others: readonly string[] }> {
  await mkdir(folder, { recursive: true })
  const { stdout } = await run('apt-cache', ['depends', KERNEL_PACKAGE])
  const kernel = /linux-image-\S+-cloud-amd64/.exec(stdout)?.[0]
  if (kernel === undefined) throw new Error(`${KERNEL_PACKAGE} depends on no kernel`)
  const there = await readdir(folder)
  const missing = [kernel, ...PACKAGES].filter((name) => !there.some((file) => file.startsWith(`${name}_`)))
  if (missing.length > 0) await download(missing, folder)
  const files = await readdir(folder)
  const fileOf = (name: string): string => join(folder, files.find((file) => file.startsWith(`${name}_`)) ?? name)
  return { kernel: fileOf(kernel), others: PACKAGES.map(fileOf) }
}

/** Each is whole or not there. */
async function download(names: readonly string[], folder: string): Promise<void> {
  const partial = await mkdtemp(join(folder, 'partial-'))
  try {
    await run('apt-get', ['download', ...names], { cwd: partial, timeout: TOOL_MS })
    for (const file of await readdir(partial)) await rename(join(partial, file), join(folder, file))
  } finally {
    await rm(partial, { recursive: true, force: true })
  }
}

async function build(work: string, packages: { readonly kernel: string; readonly others: readonly string[] }): Promise<void> {
  const at = (...path: string[]): string => join(work, ...path)
  await run('dpkg-deb', ['-x', packages.kernel, at('kernel')], { timeout: TOOL_MS })
  for (const file of packages.others) await run('dpkg-deb', ['-x', file, at('root')], { timeout: TOOL_MS })
  for (const folder of SYSTEM_FOLDERS) await mkdir(at('root', folder), { recursive: true })
  for (const [path, file] of Object.entries(SYSTEM_FILES)) await program(at('root', path), file.text, file.isProgram === true)
  await installBusybox(at('root'))
  await copyFile(process.execPath, at('root/usr/local/bin/node'))
  await rm(at('root/usr/share'), { recursive: true, force: true })
  await makeInitramfs(work)
  const [kernel = ''] = (await readdir(at('kernel/boot'))).filter((name) => name.startsWith('vmlinuz-'))
  await copyFile(at('kernel/boot', kernel), at('vmlinuz'))
  await diskOfFolder(at('root'), at('root.raw'), String(DISK_BYTES))
  await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', at('root.raw'), at('root.qcow2')], { timeout: TOOL_MS })
}

async function program(path: string, text: string, isProgram: boolean): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, text)
  if (isProgram) await chmod(path, 0o755)
}

/** Its tools under their names, where no package has brought a better one. */
async function installBusybox(root: string): Promise<void> {
  const { stdout } = await run(join(root, 'bin/busybox'), ['--list'])
  for (const name of stdout.split('\n').filter((each) => each !== '' && each !== 'busybox')) {
    const there = ['bin', 'sbin', 'usr/bin', 'usr/sbin'].some((folder) => existsSync(join(root, folder, name)))
    if (!there) await symlink('/bin/busybox', join(root, name === 'init' ? 'sbin' : 'bin', name))
  }
}

async function makeInitramfs(work: string): Promise<void> {
  const at = (...path: string[]): string => join(work, 'early', ...path)
  for (const folder of ['bin', 'dev', 'root', 'modules']) await mkdir(at(folder), { recursive: true })
  await copyFile(join(work, 'root/bin/busybox'), at('bin/busybox'))
  await program(at('init'), EARLY_INIT, true)
  const modules = await readdir(join(work, 'kernel/lib/modules'), { recursive: true })
  for (const name of MODULES) {
    const found = modules.find((path) => path.endsWith(`/${name}.ko`))
    if (found === undefined) throw new Error(`the kernel has no module ${name}`)
    await copyFile(join(work, 'kernel/lib/modules', found), at('modules', `${name}.ko`))
  }
  await run('/bin/sh', ['-c', 'cd "$1" && find . | ./bin/busybox cpio -o -H newc >"$2"', 'sh', at(), join(work, 'initramfs')], { timeout: TOOL_MS })
}

/** An ext4 with the folder's content, all of it root's, made without mounting anything. */
export async function diskOfFolder(folder: string, image: string, size: string): Promise<void> {
  await run('truncate', ['-s', size, image])
  const make = ['mkfs.ext4', '-q', '-F', '-d', folder, image]
  const [command = '', ...args] = process.getuid?.() === 0 ? make : ['unshare', '--map-root-user', ...make]
  await run(command, args, { timeout: TOOL_MS, env: { PATH: `${process.env['PATH']}:/usr/sbin:/sbin` } })
}
