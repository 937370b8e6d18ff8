/** restic in a local repository of version 2, with its default compression and its cache beside it. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { timed } from '../support/command.ts'
import { debianProgram } from '../support/debian.ts'
import { timedWithPeak } from '../support/peak.ts'
import { COMMAND_TIMEOUT_MS, type Contender, type Place } from './contender.ts'

export async function openRestic({ tree, folder }: Place): Promise<Contender & { readonly version: string }> {
  const program = await debianProgram('restic')
  const storeFolder = join(folder, 'repository')
  const password = join(folder, 'password')
  await writeFile(password, 'bench\n')
  const env = { ...process.env, RESTIC_REPOSITORY: storeFolder, RESTIC_PASSWORD_FILE: password, RESTIC_CACHE_DIR: join(folder, 'cache') }
  const options = { cwd: tree, env, timeoutMs: COMMAND_TIMEOUT_MS }
  await timed(program, ['init', '--repository-version', '2'], options)
  const { stdout } = await timed(program, ['version'], options)
  return {
    name: 'restic',
    version: stdout.trim(),
    storeFolder,
    begin: () => Promise.resolve(),
    capture: () => timedWithPeak(program, ['backup', '--quiet', '--host', 'bench', '.'], options),
    restore: (to) => timedWithPeak(program, ['restore', '--quiet', 'latest', '--target', to], options),
    verify: () => timedWithPeak(program, ['check', '--quiet', '--read-data'], options),
  }
}
