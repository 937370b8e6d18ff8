/** The words that start a command inside Landlock and seccomp by way of fence.pl, for hosts that allow no namespaces. */
import { fileURLToPath } from 'node:url'

export const FENCE_SCRIPT = fileURLToPath(new URL('fence.pl', import.meta.url))

/** The host's programs, and of /etc how to load them, check certificates, name users and tell the time. Never /etc/shadow or /etc/ssl/private. */
const SYSTEM = [
  ...['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'],
  ...['alternatives', 'ssl/certs', 'ssl/openssl.cnf', 'ca-certificates.conf', 'pki/tls/certs', 'ld.so.cache', 'ld.so.conf', 'ld.so.conf.d'].map(inEtc),
  ...['localtime', 'timezone', 'mime.types', 'services', 'protocols', 'passwd', 'group', 'hosts', 'nsswitch.conf', 'host.conf', 'shells'].map(inEtc),
  // Memory, files and environment of processes outside are refused by Landlock's own rule on tracing; their names are not.
  '/proc',
]

/** No terminals: those of the Hub's user would be among them. */
const DEVICES = ['null', 'zero', 'full', 'random', 'urandom'].map((name) => `/dev/${name}`)

function inEtc(name: string): string {
  return `/etc/${name}`
}

export interface Fence {
  readonly read: readonly string[]
  readonly write: readonly string[]
}

/** The filter is read from this descriptor. */
export function fence(filterFd: number, { read, write }: Fence, command: readonly string[]): string[] {
  const rules = [...[...SYSTEM, ...read].map((path) => `read:${path}`), ...write.map((path) => `write:${path}`), ...DEVICES.map((path) => `device:${path}`)]
  return ['perl', FENCE_SCRIPT, process.arch, String(filterFd), ...rules, '--', ...command]
}
