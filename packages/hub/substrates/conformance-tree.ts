/** Two independent accounts of a machine's tree: find(1) and sha256sum(1) from inside, and the substrate's changes added up from outside. */
import { createHash } from 'node:crypto'
import type { MachineId } from '@autovibe/contract'
import { encodePath } from '@autovibe/core/checkpoints/paths.ts'
import type { ConformanceDoor } from './conformance-door.ts'
import type { TreeChange } from './substrate.ts'

/** One line for each entry, by path: type, mode, content or target. */
export type TreeAccount = ReadonlyMap<string, string>

const LOOK = `
find . -mindepth 1 \\( -type f -o -type d -o -type l \\) -printf '%y %m %P\\0%l\\0'
printf '=\\0'
find . -type f -print0 | xargs -0 -r sha256sum -z -b --`

/** What the machine itself sees; its files must be readable for their owner. */
export async function accountFromInside(door: ConformanceDoor, machineId: MachineId): Promise<TreeAccount> {
  const { output, code } = await door.run(machineId, LOOK)
  if (code !== 0) throw new Error(`the machine could not look at its tree: ${output.toString('latin1').slice(0, 2000)}`)
  const parts = splitAtNul(output)
  const border = parts.findIndex((part) => part.equals(Buffer.from('=')))
  const sums = new Map(parts.slice(border + 1).map((part) => [encodePath(part.subarray(64 + 2 + 2)), part.subarray(0, 64).toString()]))
  const account = new Map<string, string>()
  for (let at = 0; at + 1 < border; at += 2) {
    const [head = Buffer.alloc(0), target = Buffer.alloc(0)] = parts.slice(at, at + 2)
    const [, type = '', mode = ''] = /^(.) ([0-7]+) /.exec(head.toString('latin1')) ?? []
    const path = encodePath(head.subarray(type.length + mode.length + 2))
    account.set(path, type === 'd' ? `directory ${mode}` : type === 'l' ? `symlink ${encodePath(target)}` : `file ${mode} ${sums.get(path)}`)
  }
  return account
}

/** An earlier account with these changes made to it. Throws when a child comes before its parent, or something is removed that was not there. */
export async function accountAfter(before: TreeAccount, changes: AsyncIterable<TreeChange>): Promise<{ account: TreeAccount; changes: number }> {
  const account = new Map(before)
  let count = 0
  for await (const change of changes) {
    count += 1
    if (change.kind === 'remove') {
      if (!account.has(change.path)) throw new Error(`removed what was not there: ${change.path}`)
      for (const path of [...account.keys()]) if (path === change.path || path.startsWith(`${change.path}/`)) account.delete(path)
      continue
    }
    const { path, type, mode, link_target: target, size } = change.entry
    const parent = path.slice(0, Math.max(path.lastIndexOf('/'), 0))
    if (parent !== '' && !account.get(parent)?.startsWith('directory')) throw new Error(`${path} came before its folder`)
    const octal = mode.toString(8)
    account.set(path, type === 'directory' ? `directory ${octal}` : type === 'symlink' ? `symlink ${target}` : `file ${octal} ${await sha256(change, size)}`)
  }
  return { account, changes: count }
}

async function sha256(change: TreeChange & { kind: 'put' }, size: number): Promise<string> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of change.open()) {
    hash.update(chunk as Buffer)
    bytes += (chunk as Buffer).length
  }
  if (bytes !== size) throw new Error(`${change.entry.path} has ${bytes} bytes, not ${size}`)
  return hash.digest('hex')
}

function splitAtNul(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = []
  for (let from = 0, to = bytes.indexOf(0); to !== -1; from = to + 1, to = bytes.indexOf(0, from)) parts.push(bytes.subarray(from, to))
  return parts
}
