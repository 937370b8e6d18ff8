/** autovibe provider: vendors of models and their keys. */
import { act, define, group } from './define.ts'

export interface ProviderSetOptions {
  readonly baseUrl?: string
  readonly defaultModel?: string
  readonly keyEnv?: string
  readonly keyStdin?: boolean
  readonly simulated?: boolean
}

export const providerCommand = () =>
  group('provider', 'Set and list vendors of models', [
    act<ProviderSetOptions>(
      define(
        'set',
        'Set up a provider',
        'The key is kept encrypted in the Hub and never enters a machine. Without --key-env or --key-stdin, a terminal is asked for it.',
      )
        .argument('<name>', 'anthropic, or a name of your own')
        .option('--base-url <url>', 'where its API is')
        .option('--default-model <model>', 'the model of runs that name none')
        .option('--key-env <variable>', 'take the key from this environment variable')
        .option('--key-stdin', 'read the key from standard input')
        .option('--simulated', 'a stand-in whose costs are simulated at list prices'),
      async () => (await import('../actions/provider.ts')).providerSet,
    ),
    act(define('list', 'List providers'), async () => (await import('../actions/provider.ts')).providerList),
  ])
