/** Makes a system that was cloned somebody of its own: what tells machines apart, or proves who one is, is made anew. */
import { randomBytes } from 'node:crypto'
import { lstat, open, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runTool } from './tools.ts'

const KEYGEN_TIMEOUT_MS = 60_000

/** `root`: where the system's files lie, `/` but for tests. `seed`: mixed into the kernel's randomness, since clones of one disk begin with the same. */
export async function rekeySystem(root: string, seed: string): Promise<void> {
  await mixIn(seed)
  const machineId = `${randomBytes(16).toString('hex')}\n`
  await replace(join(root, 'etc/machine-id'), machineId)
  // Often a link to the other, which then says the same.
  if (await isFile(join(root, 'var/lib/dbus/machine-id'))) await replace(join(root, 'var/lib/dbus/machine-id'), machineId)
  // Credited at boot, and the same in each clone.
  await rm(join(root, 'var/lib/systemd/random-seed'), { force: true })
  await renewHostKeys(root)
}

async function renewHostKeys(root: string): Promise<void> {
  const folder = join(root, 'etc/ssh')
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
  // A system without SSH has nothing to be mistaken by.
  if (names === null) return
  for (const name of names) if (/^ssh_host_.*_key(?:\.pub)?$/.test(name)) await rm(join(folder, name))
  await runTool('ssh-keygen', ['-A', ...(root === '/' ? [] : ['-f', root])], KEYGEN_TIMEOUT_MS)
}

async function mixIn(seed: string): Promise<void> {
  const device = await open('/dev/urandom', 'w')
  await device.writeFile(seed).finally(() => device.close())
}

async function replace(path: string, text: string): Promise<void> {
  await rm(`${path}.new`, { force: true })
  await writeFile(`${path}.new`, text, { mode: 0o444, flag: 'wx', flush: true })
  await rename(`${path}.new`, path)
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isFile()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}
