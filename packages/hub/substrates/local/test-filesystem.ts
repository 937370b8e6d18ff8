/** A btrfs of its own for tests: a sparse file with a file system in it, mounted until the process that asked for it has ended, however it ends. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'

/** A guard, because a test that is killed runs nothing any more: its standard input ends with whoever asked. */
const GUARD = `
cd "$1" && truncate -s 512M image && mkdir on && mkfs.btrfs -q image >/dev/null && mount -o loop image on && echo ready && read -r _
cd /
umount "$1/on" 2>/dev/null || umount -l "$1/on" 2>/dev/null
rm -r --one-file-system "$1"`

/** The folder of the file system, or why this host has none for us. */
export async function mountBtrfs(): Promise<{ readonly folder: string } | string> {
  if (process.getuid?.() !== 0) return 'mounting a file system takes root'
  const room = await mkdtemp(join(tmpdir(), 'avfs-'))
  const guard = spawn('sh', ['-c', GUARD, 'sh', room], { detached: true, cwd: '/', stdio: ['pipe', 'pipe', 'pipe'] })
  let said = ''
  guard.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString('utf8')
  })
  const ready = once(guard.stdout, 'data').then(() => true)
  const isMounted = await Promise.race([ready, once(guard, 'close').then(() => false)])
  if (!isMounted) return said.trim()
  guard.unref()
  for (const pipe of [guard.stdin, guard.stdout, guard.stderr]) (pipe as Readable & { unref(): void }).unref()
  return { folder: join(room, 'on') }
}
