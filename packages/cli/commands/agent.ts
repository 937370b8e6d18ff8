/** autovibe agent: the agents that machines can run. */
import { act, define, group } from './define.ts'

export const agentCommand = () =>
  group('agent', 'Install and list agents', [
    act(
      define('install', 'Install an agent into the data directory').argument('<agent>', 'claude-code'),
      async () => (await import('../actions/agent.ts')).agentInstall,
    ),
    act(define('list', 'List agents and their versions'), async () => (await import('../actions/agent.ts')).agentList),
  ])
