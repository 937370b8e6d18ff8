/** The secret of a token of Proxmox: from standard input, from the environment, or from a person at a terminal. */
import { AutovibeError } from '@autovibe/contract'
import type { Context } from '../context.ts'
import { readStdin } from '../local/stdin.ts'

export interface SecretOptions {
  readonly tokenEnv?: string
  readonly tokenStdin?: boolean
}

/** Never from an argument: those stand in the process list and in the shell's history. */
export async function givenSecret(context: Pick<Context, 'env'>, command: string, { tokenEnv, tokenStdin }: SecretOptions): Promise<string | undefined> {
  if (tokenEnv !== undefined && tokenStdin === true)
    throw new AutovibeError('request.invalid', 'Of --token-env and --token-stdin only one can be meant.', { fix: `${command} … --token-stdin` })
  const [text, where] =
    tokenEnv !== undefined
      ? [context.env[tokenEnv], `in the environment variable ${tokenEnv}`]
      : tokenStdin === true
        ? [await readStdin(1000), 'on standard input']
        : [undefined, undefined]
  if (where === undefined) return undefined
  const secret = text?.trim()
  if (secret) return secret
  throw new AutovibeError('request.invalid', `There was no secret ${where}.`, { fix: `${command} … --token-stdin < FILE` })
}

export async function askedSecret(context: Context, command: string, tokenId: string): Promise<string> {
  if (isTerminal(context)) {
    const prompts = await import('@clack/prompts')
    const answer = await prompts.password({ message: `Secret of ${tokenId}`, output: process.stderr })
    if (prompts.isCancel(answer)) throw new AutovibeError('operation.cancelled', 'Nothing was changed.')
    if (answer) return answer.trim()
  }
  throw new AutovibeError('request.invalid', `The secret of ${tokenId} was not given; nothing was changed.`, {
    fix: `${command} … --token-stdin < FILE (or --token-env VARIABLE)`,
  })
}

export const isTerminal = ({ out }: Pick<Context, 'out'>): boolean => out.interactive && process.stdin.isTTY === true
