/** Programs of the Debian archive: the one on PATH, otherwise the package, unpacked into a folder of its own and not installed into the system. */
import { existsSync } from 'node:fs'
import { glob } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { timed } from './command.ts'
import { installed } from './installed.ts'

/** The program's path; rejects when it is not there and apt-get cannot download the package of its name. */
export async function debianProgram(name: string): Promise<string> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, name)
    if (folder !== '' && existsSync(path)) return path
  }
  const folder = await installed(`debian-${name}`, async (cwd) => {
    await timed('apt-get', ['download', '-q', name], { cwd })
    for await (const file of glob('*.deb', { cwd })) await timed('dpkg-deb', ['-x', join(cwd, file), join(cwd, 'root')])
  })
  return join(folder, 'root/usr/bin', name)
}
