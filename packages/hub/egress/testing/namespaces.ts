/** Two network namespaces with a cable between them: the Hub's host, and a world that holds all the addresses a hostile agent would like to reach. Nothing leads out of them. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export const WORLD = {
  /** Where the Hub's host is on the cable; public by its range, but its own. */
  own: '11.0.0.2',
  own6: '2a00:1::2',
  gateway: '11.0.0.1',
  gateway6: '2a00:1::1',
  nameServer: '11.0.0.53',
  public: '11.0.0.80',
  public6: '2a00:1::80',
} as const

/** What else stands in the world. */
export const HOSTILE = [
  '169.254.169.254',
  '169.254.1.1',
  '100.100.100.200',
  '168.63.129.16',
  '10.9.8.7',
  '172.20.0.9',
  '192.168.7.7',
  '100.64.0.9',
  '192.0.2.9',
  '198.18.0.9',
  '203.0.113.9',
  '240.0.0.9',
  'fd00:ec2::254',
  'fd12::9',
  '64:ff9b::a09:807',
  '2002:a09:807::1',
  '2001:db8::9',
  'fec0::9',
] as const

const SCRIPTS = { host: new URL('./host.ts', import.meta.url), world: new URL('./world.ts', import.meta.url) } as const

/** Why this host cannot make them; false when it can. */
export function namespacesRefused(): string | false {
  const made = spawnSync('unshare', ['-n', 'sh', '-c', 'ip link set lo up && ip link add name cable0 type veth peer name cable1'], { encoding: 'utf8' })
  return made.status === 0 ? false : `this process may not make network namespaces: ${made.error?.message ?? made.stderr.trim()}`
}

/** Makes both; `run` starts the script of one of them and waits for its first word. They are gone with their last process. */
export async function makeNamespaces() {
  const [host, world] = [await keep(), await keep()]
  const cable = `ip link add name world0 type veth peer name host0 netns ${host.pid}`
  const worldAddresses = [WORLD.gateway, WORLD.nameServer, WORLD.public].map((address) => `ip addr add ${address}/24 dev world0`)
  const world6 = [WORLD.gateway6, WORLD.public6].map((address) => `ip -6 addr add ${address}/64 dev world0 nodad`)
  const hostile = HOSTILE.map((address) => `ip addr add ${address}/${address.includes(':') ? '128 nodad' : '32'} dev lo`)
  shell(world, ['ip link set lo up', cable, 'ip link set world0 up', ...worldAddresses, ...world6, ...hostile])
  shell(host, [
    'ip link set lo up',
    'ip link set host0 up',
    `ip addr add ${WORLD.own}/24 dev host0`,
    `ip -6 addr add ${WORLD.own6}/64 dev host0 nodad`,
    `ip route add default via ${WORLD.gateway}`,
    `ip -6 route add default via ${WORLD.gateway6}`,
  ])
  const started: ChildProcess[] = []
  return {
    async run(where: keyof typeof SCRIPTS, ...args: string[]): Promise<ChildProcess> {
      const inside = where === 'host' ? host : world
      const path = fileURLToPath(SCRIPTS[where])
      const child = spawn('nsenter', ['-n', '-t', String(inside.pid), '--', process.execPath, path, ...args], {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      })
      started.push(child)
      const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`the ${where} ended with ${code}`)))
      await Promise.race([once(child, 'message'), ended])
      ended.catch(() => undefined)
      return child
    },
    async remove(): Promise<void> {
      await Promise.all([...started, host, world].map(end))
    },
  }
}

/** A process that does nothing but hold a namespace. */
async function keep(): Promise<ChildProcess> {
  const keeper = spawn('unshare', ['-n', 'sh', '-c', 'echo ready && exec cat'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [word] = (await Promise.race([once(keeper.stdout, 'data'), once(keeper, 'exit')])) as [Buffer | number]
  if (String(word) !== 'ready\n') throw new Error(`a network namespace could not be made: ${word}`)
  return keeper
}

function shell({ pid }: ChildProcess, commands: readonly string[]): void {
  const { status, stderr } = spawnSync('nsenter', ['-n', '-t', String(pid), '--', 'sh', '-e', '-c', commands.join('\n')], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`the namespace could not be set up: ${stderr}`)
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}
