/**
 * Copies a tree that its machine may still be changing. cp(1) goes by paths, so a folder that becomes a link between two of its calls would lead it anywhere it can see;
 * therefore it sees the tree, the place for the copy and the programs that machines see, and nothing else.
 */
import { type Host, sharesHost } from './host.ts'
import { layerTree } from './layout.ts'

/** Inside; the skeleton has no other use for it, and nobody's links count on it. One letter each, beside where cp(1) works: it puts them before every path of the tree, and the kernel takes 4095 bytes. */
const WITHIN = '/tmp'
const [FROM, TO] = ['a', 'b']

/** The command; null where there is no sandbox, and so no fence that a link could lead out of. */
export function liveCopyCommand(host: Host, from: string, to: string): readonly [string, ...string[]] | null {
  if (sharesHost(host.offer)) return null
  const { skeleton, layout, offer } = host
  return [
    'bwrap',
    // The owner's rights over what the agent has locked against its owner: root's own, or those of the root of a user namespace.
    ...(offer.asRoot ? [] : ['--unshare-user', '--uid', '0', '--gid', '0']),
    // cp(1) sets the modes of locked folders by way of /proc; that must show no process but its own, whose root is this one.
    ...['--unshare-pid', '--unshare-net', '--unshare-ipc', '--unshare-uts', '--cap-add', 'ALL', '--new-session', '--die-with-parent'],
    ...['--bind', skeleton.folder, '/', ...skeleton.binds.flatMap(([path, inside]) => ['--ro-bind', path, inside])],
    ...['--proc', '/proc', '--tmpfs', '/tmp', '--ro-bind', layerTree(layout, from), `${WITHIN}/${FROM}`, '--bind', layerTree(layout, to), `${WITHIN}/${TO}`],
    ...['--remount-ro', '/tmp', '--remount-ro', '/', '--chdir', WITHIN, '--'],
    ...['cp', '-a', `--reflink=${offer.copy === 'C2' ? 'always' : 'auto'}`, '-T', '--', FROM, TO],
  ]
}
