/** The agent's control group (v2): all that it starts is in it, and nothing leaves it. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const NAME = 'autovibe-agent'
/** Where the guest stands itself: a group that hands on controllers holds no processes. */
const ASIDE = 'autovibe-guest'
const CONTROLLERS = ['memory', 'pids', 'cpu'] as const

export interface GroupLimits {
  readonly memoryBytes: number
  readonly processes: number
}

export class Group {
  readonly folder: string

  constructor(folder: string) {
    this.folder = folder
  }

  /** The file by which a process joins: it writes 0. */
  get door(): string {
    return join(this.folder, 'cgroup.procs')
  }

  /** Those of its settings that this kernel, or this place, does not offer are left out. */
  holdTo({ memoryBytes, processes }: GroupLimits): void {
    for (const [file, value] of [
      ['memory.swap.max', '0'],
      ['memory.max', String(memoryBytes)],
      ['pids.max', String(processes)],
    ] as const)
      if (existsSync(join(this.folder, file))) this.#write(file, value)
  }

  pids(): number[] {
    return (this.#read('cgroup.procs') ?? '')
      .split('\n')
      .filter((line) => line !== '')
      .map(Number)
  }

  /** Everything in it ends, however it hides. */
  end(): void {
    if (existsSync(join(this.folder, 'cgroup.kill'))) this.#write('cgroup.kill', '1')
    else for (const pid of this.pids()) killed(pid)
  }

  /** True once all of it stands still. */
  standStill(isStill: boolean): boolean {
    if (!existsSync(join(this.folder, 'cgroup.freeze'))) return false
    this.#write('cgroup.freeze', isStill ? '1' : '0')
    return true
  }

  isStill(): boolean {
    return this.field('cgroup.events', 'frozen') === 1
  }

  number(file: string): number | null {
    const text = this.#read(file)?.trim() ?? ''
    return /^\d+$/.test(text) ? Number(text) : null
  }

  /** The value behind a name in a file of lines `name value`. */
  field(file: string, name: string): number | null {
    const found = new RegExp(`^${name} (\\d+)$`, 'm').exec(this.#read(file) ?? '')
    return found === null ? null : Number(found[1])
  }

  remove(): boolean {
    try {
      rmdirSync(this.folder)
      return true
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ENOENT'
    }
  }

  #read(file: string): string | null {
    try {
      return readFileSync(join(this.folder, file), 'utf8')
    } catch {
      // Not offered here, or the group is gone.
      return null
    }
  }

  #write(file: string, value: string): void {
    writeFileSync(join(this.folder, file), value, { flag: 'r+' })
  }
}

/** A fresh group beneath this process's own; null where none can be made. One that is left of an earlier guest is ended. */
export function makeGroup(nameOfItsOwn: string): Group | null {
  const own = ownFolder()
  if (own === null) return null
  const group = new Group(join(own, `${NAME}-${nameOfItsOwn}`))
  try {
    handOnControllers(own)
    mkdirSync(group.folder, { recursive: true })
    // Found out by doing it.
    writeFileSync(group.door, '', { flag: 'r+' })
    return group
  } catch {
    return null
  }
}

/** Groups of this name that an earlier guest has left, with whatever is still in them. */
export function leftGroups(nameOfItsOwn: string): Group[] {
  const own = ownFolder()
  if (own === null || !existsSync(own)) return []
  return readdirSync(own)
    .filter((name) => name === `${NAME}-${nameOfItsOwn}`)
    .map((name) => new Group(join(own, name)))
}

/** proc_pid_mountinfo(5), cgroups(7): where v2 is mounted, and where in it this process stands. */
function ownFolder(): string | null {
  const mount = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((line) => / - cgroup2 /.test(line))
    ?.split(' ')[4]
  const path = /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1]
  if (mount === undefined || path === undefined) return null
  return join(mount, path.replace(new RegExp(`/${ASIDE}$`), ''))
}

/** At the top of the hierarchy processes are in nobody's way; elsewhere only a group that is this guest's alone is one that it steps out of. */
function handOnControllers(own: string): void {
  const offered = (readFileSync(join(own, 'cgroup.controllers'), 'utf8').trim() || '').split(' ')
  const wanted = CONTROLLERS.filter((name) => offered.includes(name))
  if (wanted.length === 0) return
  const members = readFileSync(join(own, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean)
  if (members.length === 1 && members[0] === String(process.pid)) {
    mkdirSync(join(own, ASIDE), { recursive: true })
    writeFileSync(join(own, ASIDE, 'cgroup.procs'), '0', { flag: 'r+' })
  }
  for (const name of wanted) {
    try {
      writeFileSync(join(own, 'cgroup.subtree_control'), `+${name}`, { flag: 'r+' })
    } catch {
      // Others' processes stand in the way; what it would have counted is looked up in /proc.
    }
  }
}

function killed(pid: number): void {
  try {
    if (pid > 0 && pid !== process.pid) process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
