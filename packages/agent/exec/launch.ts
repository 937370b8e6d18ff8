/** How a command of a person is started: where, with what environment, and with which program, plainly or inside a terminal. */
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import process from 'node:process'
import type { ExecOutput, ExecStart } from '@autovibe/contract'
import type { Paths } from '../adapters/adapter.ts'
import { proxyEnvironment } from '../egress/environment.ts'
import { inheritedEnvironment, SHELL } from '../process/command.ts'
import { FAMILY_VARIABLE, MACHINE_MARK } from '../process/family.ts'
import { terminalCommand } from './terminal.ts'

export interface Launch {
  readonly program: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
}

export type Refused = Extract<ExecOutput, { type: 'refused' }>

/** `mark` is by which its family is known; nobody's variable may hide it. */
export function launchOf(start: ExecStart, paths: Paths, mark: string): Launch | Refused {
  const cwd = folderOf(start.cwd, paths)
  if (cwd === undefined) return { type: 'refused', why: 'no_folder', message: `There is no folder ${clip(start.cwd ?? paths.project)} in the machine.` }
  const machineMark = process.env[MACHINE_MARK]
  const env = {
    ...inheritedEnvironment(),
    HOME: paths.home,
    PWD: cwd,
    ...proxyEnvironment(),
    ...(start.tty ? { TERM: 'xterm-256color' } : {}),
    ...start.env,
    ...(machineMark === undefined ? {} : { [MACHINE_MARK]: machineMark }),
    [FAMILY_VARIABLE]: mark,
  }
  const [program = SHELL, ...args] = start.command
  if (!start.tty) return { program, args, cwd, env }
  const command = terminalCommand([program, ...args], start.size, env)
  if (command) return { ...command, cwd }
  return { type: 'refused', why: 'no_terminal', message: 'The machine has no program script or stty (util-linux, coreutils), which make its terminals.' }
}

/** Why a program could not be started, as its error tells. */
export function refusalOf(error: NodeJS.ErrnoException, launch: Launch): Refused {
  const program = clip(launch.program)
  if (error.code === 'ENOENT') return { type: 'refused', why: 'no_program', message: `There is no program ${program} in the machine.` }
  if (error.code === 'EACCES') return { type: 'refused', why: 'not_executable', message: `${program} may not be executed in the machine.` }
  return { type: 'refused', why: 'broken', message: `${program} could not be started: ${clip(error.message)}` }
}

/** The project, or the whole tree while there is no project yet; undefined for a folder that is not there. */
function folderOf(cwd: string | null, paths: Paths): string | undefined {
  const folder = cwd === null ? [paths.project, paths.tree].find(isFolder) : resolve(paths.project, cwd)
  return folder !== undefined && isFolder(folder) ? folder : undefined
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    return false
  }
}

const clip = (text: string): string => (text.length > 300 ? `${text.slice(0, 300)}…` : text)
