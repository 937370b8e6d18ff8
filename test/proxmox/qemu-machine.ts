/** One VM as a process of QEMU under software emulation, with its monitor and the line to its guest's agent. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type GuestAgent, GuestAgentError } from './guests.ts'
import { type Line, Lines, QemuError } from './qemu-lines.ts'

const START_MS = 60_000
const LOOK_EVERY_MS = 10
/** To these QEMU's agent answers only when they fail. */
const UNANSWERED: readonly string[] = ['guest-shutdown', 'guest-suspend-disk', 'guest-suspend-ram', 'guest-suspend-hybrid']

export class QemuMachine implements GuestAgent {
  readonly ended: Promise<void>
  readonly #child: ChildProcess
  readonly #monitor: Lines
  readonly #agent: Lines
  /** Of the question to which the agent's answer shows that it is there; null when it has come. */
  #syncId: number | null = null

  private constructor(child: ChildProcess, ended: Promise<void>, monitor: Lines, agent: Lines) {
    this.#child = child
    this.ended = ended
    this.#monitor = monitor
    this.#agent = agent
  }

  /** `args`: all but the two sockets in its folder. */
  static async start(folder: string, args: readonly string[]): Promise<QemuMachine> {
    const [monitorPath, agentPath] = [join(folder, 'monitor'), join(folder, 'agent')]
    const sockets = [
      ...['-chardev', `socket,id=monitor,path=${monitorPath},server=on,wait=off`, '-mon', 'chardev=monitor,mode=control'],
      ...['-device', 'virtio-serial-pci', '-chardev', `socket,id=agent,path=${agentPath},server=on,wait=off`],
      ...['-device', 'virtserialport,chardev=agent,name=org.qemu.guest_agent.0'],
    ]
    const child = spawn('qemu-system-x86_64', [...args, ...sockets], { stdio: ['ignore', 'ignore', 'pipe'], cwd: folder })
    let said = ''
    child.stderr.on('data', (chunk: Buffer) => {
      said = (said + String(chunk)).slice(-4096)
    })
    const ended = once(child, 'close').then(() => undefined)
    const failed = ended.then(() => {
      throw new Error(`QEMU has ended: ${said.trim()}`)
    })
    failed.catch(() => undefined)
    try {
      return await Promise.race([QemuMachine.#connected(child, ended, monitorPath, agentPath), failed])
    } catch (error) {
      child.kill('SIGKILL')
      await ended
      throw error
    }
  }

  static async #connected(child: ChildProcess, ended: Promise<void>, monitorPath: string, agentPath: string): Promise<QemuMachine> {
    const heard = { monitor: (_: Line): void => undefined, agent: (_: Line): void => undefined }
    const monitor = await opened(child, monitorPath, (line) => heard.monitor(line))
    const agent = await opened(child, agentPath, (line) => heard.agent(line))
    const machine = new QemuMachine(child, ended, monitor, agent)
    heard.monitor = (line) => machine.#happened(line)
    heard.agent = (line) => machine.#answered(line)
    await monitor.ask('qmp_capabilities')
    machine.#callAgent()
    return machine
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  monitor(command: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    return this.#monitor.ask(command, parameters)
  }

  /** A command of the monitor for people, which has words for snapshots of disks and RAM together; silence is success. */
  async human(line: string): Promise<void> {
    const said = String(await this.#monitor.ask('human-monitor-command', { 'command-line': line }))
    if (said.trim() !== '') throw new QemuError(said.trim())
  }

  get hasAgent(): boolean {
    return this.#syncId === null
  }

  async execute(command: string, parameters: Readonly<Record<string, unknown>>): Promise<unknown> {
    if (UNANSWERED.includes(command)) {
      this.#agent.say(command, parameters)
      return {}
    }
    try {
      return await this.#agent.ask(command, parameters)
    } catch (error) {
      if (error instanceof QemuError) throw new GuestAgentError(error.message)
      throw error
    }
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.ended
  }

  /** The agent's port opens when it starts, and whatever was said before may be lost. */
  #happened(line: Line): void {
    if (line.event === 'RESET' || line.event === 'VSERPORT_CHANGE') this.#callAgent()
  }

  #callAgent(): void {
    this.#syncId = randomInt(2 ** 40)
    this.#agent.giveUp()
    this.#agent.say('guest-sync', { id: this.#syncId })
  }

  #answered(line: Line): void {
    if (line.return === this.#syncId) this.#syncId = null
  }
}

/** The line at a path that is there a moment before QEMU listens on it. */
async function opened(child: ChildProcess, path: string, onEvent: (line: Line) => void): Promise<Lines> {
  for (const deadline = performance.now() + START_MS; ; await delay(LOOK_EVERY_MS)) {
    try {
      return await Lines.open(path, onEvent)
    } catch (error) {
      if (performance.now() > deadline || child.exitCode !== null || child.signalCode !== null) throw error
    }
  }
}
