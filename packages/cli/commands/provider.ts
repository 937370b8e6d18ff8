/** autovibe provider: vendors of models and their keys. */
import { act, define, group } from './define.ts'

export interface ProviderSetOptions {
  readonly wire?: string
  readonly baseUrl?: string
  readonly defaultModel?: string
  readonly keyEnv?: string
  readonly keyStdin?: boolean
  /** False for --no-key. */
  readonly key?: boolean
  readonly simulated?: boolean
}

export const providerCommand = () =>
  group('provider', 'Set up, remove and list vendors of models', [
    act<ProviderSetOptions>(
      define(
        'set',
        'Set up a provider',
        'The key is kept encrypted in the Hub and never enters a machine. Without --key-env, --key-stdin or --no-key, a terminal is asked for it. Whether the API answers is tried at once.',
      )
        .argument('<name>', 'anthropic, openai, or a name of your own')
        .option('--wire <wire>', 'how it is spoken to: anthropic or openai')
        .option('--base-url <url>', 'where its API is')
        .option('--default-model <model>', 'the model of runs that name none')
        .option('--key-env <variable>', 'take the key from this environment variable')
        .option('--key-stdin', 'read the key from standard input')
        .option('--no-key', 'its API asks for none, as a local or simulated one; "none" is sent in its place')
        .option('--simulated', 'a stand-in whose costs are simulated at list prices'),
      async () => (await import('../actions/provider.ts')).providerSet,
    ),
    act(
      define('remove', 'Remove a provider with its key', 'Refused while a run that has not ended calls it.').argument('<name>', 'its name'),
      async () => (await import('../actions/provider.ts')).providerRemove,
    ),
    act(define('list', 'List providers'), async () => (await import('../actions/provider.ts')).providerList),
  ])
