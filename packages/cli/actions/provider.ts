/** Sets up, removes and lists vendors of models. */
import { AutovibeError, Name, type Provider, type ProviderWire, type PutProvider, WIRES } from '@autovibe/contract'
import type { Action } from '../commands/define.ts'
import type { ProviderSetOptions } from '../commands/provider.ts'
import type { Context } from '../context.ts'
import { readStdin } from '../local/stdin.ts'
import { renderProviders } from '../render/resources.ts'

/** The wire has no call without a key; an API that asks for none takes any. */
const NO_KEY = 'none'

export const providerSet: Action<ProviderSetOptions> = async (context, [name = ''], options) => {
  if (!Name.safeParse(name).success)
    throw new AutovibeError('request.invalid', `${JSON.stringify(name)} is not a possible name of a provider.`, {
      fix: 'Use letters, digits and dashes: autovibe provider set anthropic',
    })
  if (options.baseUrl !== undefined && !URL.canParse(options.baseUrl))
    throw new AutovibeError('request.invalid', `${JSON.stringify(options.baseUrl)} is not an address.`, { fix: '--base-url https://api.anthropic.com' })
  const wire = wireOf(options.wire)
  const early = await givenKey(context, name, options)
  const client = await context.connect()
  const { out, signal } = context
  const existing = (await client.providers.list({ signal }).take(1000)).find((provider) => provider.name === name)
  const key = early ?? (await missingKey(context, name, existing, moves(existing, options), options))
  const wish: PutProvider = {
    ...(wire === undefined ? {} : { wire }),
    simulated: options.simulated ?? existing?.simulated ?? false,
    ...(options.baseUrl === undefined ? {} : { base_url: options.baseUrl }),
    ...(options.defaultModel === undefined ? {} : { default_model: options.defaultModel }),
    ...(key === undefined ? {} : { key }),
  }
  const provider = await client.providers.put(name, wish, { signal })
  const reach = await client.providers.reach(name, { signal })
  out.answer({ provider, reach }, renderProviders([provider], out.paint))
  if (!reach.answers)
    out.note(`! It is set up, but ${reach.detail}: runs with it will fail until it does. Another address: autovibe provider set ${name} --base-url URL`)
  return 0
}

function wireOf(name: string | undefined): ProviderWire | undefined {
  const wire = WIRES.find((known) => known === name)
  if (name === undefined || wire) return wire
  throw new AutovibeError('request.invalid', `There is no wire ${JSON.stringify(name)}.`, {
    fix: `One of: ${WIRES.map((known) => `--wire ${known}`).join(', ')}`,
  })
}

export const providerRemove: Action<unknown> = async (context, [name = '']) => {
  const client = await context.connect()
  const provider = await client.providers.remove(name, { signal: context.signal }).catch((thrown: unknown) => {
    if (!(thrown instanceof AutovibeError) || thrown.code !== 'not_found') throw thrown
    throw new AutovibeError('not_found', `There is no provider ${JSON.stringify(name)}.`, { cause: thrown, fix: 'autovibe provider list' })
  })
  context.out.answer({ provider }, [`${context.out.paint.green('✓')} The provider ${provider.name} was removed${provider.has_key ? ', with its key' : ''}.`])
  return 0
}

export const providerList: Action<unknown> = async (context) => {
  const client = await context.connect()
  const providers = await client.providers.list({ signal: context.signal }).take(1000)
  context.out.answer({ providers }, renderProviders(providers, context.out.paint))
  return 0
}

/** What the options say, before anybody is asked. Never from an argument: those stand in the process list and in the shell's history. */
async function givenKey(context: Context, name: string, { key: wanted, keyEnv, keyStdin }: ProviderSetOptions): Promise<string | undefined> {
  const none = wanted === false
  if ([none, keyEnv !== undefined, keyStdin === true].filter(Boolean).length > 1)
    throw new AutovibeError('request.invalid', 'Of --key-env, --key-stdin and --no-key only one can be meant.', { fix: 'autovibe provider set --help' })
  if (none) return NO_KEY
  if (keyEnv !== undefined) {
    const key = context.env[keyEnv]?.trim()
    if (key) return key
    throw new AutovibeError('request.invalid', `The environment variable ${keyEnv} is not set.`, { fix: `export ${keyEnv}=…` })
  }
  if (keyStdin === true) {
    const key = (await readStdin(1000)).trim()
    if (key) return key
    throw new AutovibeError('request.invalid', 'There was no key on standard input.', { fix: `autovibe provider set ${name} --key-stdin < FILE` })
  }
  return undefined
}

/** A person at a terminal is asked. Undefined leaves the stored key as it is; where none is stored, or it is not for that address, there must be one. */
async function missingKey(
  context: Context,
  name: string,
  existing: Provider | undefined,
  isMoved: boolean,
  options: ProviderSetOptions,
): Promise<string | undefined> {
  const needed = existing?.has_key !== true || isMoved
  if (context.out.interactive && process.stdin.isTTY === true) {
    const prompts = await import('@clack/prompts')
    const message = needed ? `Key of ${name}` : `Key of ${name} (empty: leave as it is)`
    const answer = await prompts.password({ message, output: process.stderr })
    if (prompts.isCancel(answer)) throw new AutovibeError('operation.cancelled', 'Nothing was changed.')
    if (answer) return answer
  }
  if (!needed) return undefined
  const why =
    isMoved && existing?.has_key === true
      ? `The key of ${name} was given for ${new URL(existing.base_url).origin} and is not sent anywhere else`
      : `The provider ${name} would have no key`
  throw new AutovibeError('request.invalid', `${why}; nothing was changed.`, {
    fix: `autovibe provider set ${name} ${options.baseUrl === undefined ? '' : `--base-url ${options.baseUrl} `}--key-stdin < FILE (or --key-env VARIABLE; or --no-key where none is asked for)`,
  })
}

/** Whether its calls would go to another place than the stored key was given for. */
function moves(existing: Provider | undefined, { baseUrl, wire }: ProviderSetOptions): boolean {
  if (existing === undefined) return false
  // Another wire without a word about the address takes that of the wire.
  if (baseUrl === undefined) return wire !== undefined && wire !== existing.wire
  return new URL(existing.base_url).origin !== new URL(baseUrl).origin
}
