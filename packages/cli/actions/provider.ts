/** Sets up and lists vendors of models. */
import { AutovibeError, Name, type PutProvider } from '@autovibe/contract'
import type { Action } from '../commands/define.ts'
import type { ProviderSetOptions } from '../commands/provider.ts'
import type { Context } from '../context.ts'
import { readStdin } from '../local/stdin.ts'
import { renderProviders } from '../render/resources.ts'

export const providerSet: Action<ProviderSetOptions> = async (context, [name = ''], options) => {
  if (!Name.safeParse(name).success)
    throw new AutovibeError('request.invalid', `${JSON.stringify(name)} is not a possible name of a provider.`, {
      fix: 'Use letters, digits and dashes: autovibe provider set anthropic',
    })
  if (options.baseUrl !== undefined && !URL.canParse(options.baseUrl))
    throw new AutovibeError('request.invalid', `${JSON.stringify(options.baseUrl)} is not an address.`, { fix: '--base-url https://api.anthropic.com' })
  const given = await readKey(context, name, options)
  const client = await context.connect()
  const { signal } = context
  const [existing] = (await client.providers.list({ signal }).take(1000)).filter((provider) => provider.name === name)
  const wish: PutProvider = {
    wire: existing?.wire ?? 'anthropic',
    simulated: options.simulated ?? existing?.simulated ?? false,
    ...(options.baseUrl === undefined ? {} : { base_url: options.baseUrl }),
    ...(options.defaultModel === undefined ? {} : { default_model: options.defaultModel }),
    ...(given === undefined ? {} : { key: given }),
  }
  const provider = await client.providers.put(name, wish, { signal })
  context.out.answer({ provider }, renderProviders([provider], context.out.paint))
  return 0
}

export const providerList: Action<unknown> = async (context) => {
  const client = await context.connect()
  const providers = await client.providers.list({ signal: context.signal }).take(1000)
  context.out.answer({ providers }, renderProviders(providers, context.out.paint))
  return 0
}

/** Never from an argument: those stand in the process list and in the shell's history. */
async function readKey(context: Context, name: string, options: ProviderSetOptions): Promise<string | undefined> {
  if (options.keyEnv !== undefined) {
    const key = context.env[options.keyEnv]?.trim()
    if (key) return key
    throw new AutovibeError('request.invalid', `The environment variable ${options.keyEnv} is not set.`, { fix: `export ${options.keyEnv}=…` })
  }
  if (options.keyStdin === true) {
    const key = (await readStdin(1000)).trim()
    if (key) return key
    throw new AutovibeError('request.invalid', 'There was no key on standard input.', { fix: `autovibe provider set ${name} --key-stdin < FILE` })
  }
  if (!context.out.interactive || process.stdin.isTTY !== true) return undefined
  const prompts = await import('@clack/prompts')
  const answer = await prompts.password({ message: `Key of ${name} (empty: leave as it is)`, output: process.stderr })
  if (prompts.isCancel(answer)) throw new AutovibeError('operation.cancelled', 'Nothing was changed.')
  return answer === undefined || answer === '' ? undefined : answer
}
