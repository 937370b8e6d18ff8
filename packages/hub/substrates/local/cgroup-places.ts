/** Where control groups can be: the kernel's own lists of mounts and memberships, read into folders. */

export type Controller = 'memory' | 'cpu' | 'cpuacct' | 'pids'
const CONTROLLERS: readonly Controller[] = ['memory', 'cpu', 'cpuacct', 'pids']

/** A mounted hierarchy: its folder, and our own group in it. */
export interface Hierarchy {
  readonly version: 'v1' | 'v2'
  readonly mount: string
  readonly own: string
  /** Those that are mounted here; in v2 each folder names what it has. */
  readonly controllers: readonly Controller[]
}

/** From /proc/self/mountinfo and /proc/self/cgroup, see proc_pid_mountinfo(5) and cgroups(7). */
export function parseHierarchies(mountInfo: string, membership: string): Hierarchy[] {
  const groups = membership
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [id = '', names = '', ...path] = line.split(':')
      return { id, names: names.split(','), path: path.join(':') }
    })
  const found: Hierarchy[] = []
  for (const line of mountInfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ')
    const fields = before.split(' ')
    const [type, , options = ''] = after.split(' ')
    if (type !== 'cgroup' && type !== 'cgroup2') continue
    const [root, mount] = [unescaped(fields[3] ?? '/'), unescaped(fields[4] ?? '')]
    const controllers = type === 'cgroup' ? CONTROLLERS.filter((name) => options.split(',').includes(name)) : []
    if (mount === '' || (type === 'cgroup' && controllers.length === 0)) continue
    const own = groups.find(({ id, names }) => (type === 'cgroup2' ? id === '0' : controllers.some((name) => names.includes(name))))
    found.push({ version: type === 'cgroup2' ? 'v2' : 'v1', mount, own: below(mount, root, own?.path ?? root), controllers })
  }
  return found
}

/** A group's path is told from the hierarchy's root, but a mount may begin deeper; what lies outside of it cannot be reached, and is the mount itself. */
function below(mount: string, root: string, path: string): string {
  const base = root === '/' ? '' : root
  if (path !== base && !path.startsWith(`${base}/`)) return mount
  const rest = path.slice(base.length)
  return rest === '/' || rest === '' || rest.split('/').includes('..') ? mount : `${mount}${rest}`
}

/** Blanks and the like are written as octal numbers. */
const unescaped = (text: string): string => text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
