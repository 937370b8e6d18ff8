/** A real Hub on a data directory of its own, with a small project in it and a model that has nothing to do but to end the run. */
import { startScriptedModel } from '@autovibe/scripted-model'
import type { Autovibe } from '@autovibe/sdk'
import { demoRepository, importProject } from '../../test/support/demo-project.ts'
import { type HubProcess, startHubProcess } from '../../test/support/hub-process.ts'

export const PROVIDER = 'scripted'
export const MODEL = 'claude-sonnet-5'
/** More than any measurement spends, in nano-US-dollars: a thousand dollars of simulated money. */
export const PLENTY_NANO_USD = '1000000000000'

const SCRIPT = 'conversations:\n  - match: Say ok\n    replies:\n      - text: ok\n'

export interface Stage extends AsyncDisposable {
  readonly hub: HubProcess
  readonly client: Autovibe
  readonly projectId: string
  /** The host's folder with the project's files, as it was imported. */
  readonly projectPath: string
}

/** `script`: what the model says, when it has more to say than "ok". */
export async function openStage(script: string = SCRIPT): Promise<Stage> {
  await using ending = new AsyncDisposableStack()
  const hub = ending.adopt(await startHubProcess(), (each) => each.remove())
  const model = ending.adopt(await startScriptedModel({ script: { text: script, name: 'bench' } }), (each) => each.close())
  const repository = ending.adopt(await demoRepository(), (each) => each.remove())
  const { client } = hub
  await client.providers.put(PROVIDER, { base_url: model.url, key: 'bench', default_model: MODEL, simulated: true })
  const projectId = await importProject(client, repository, 'bench')
  const all = ending.move()
  return { hub, client, projectId, projectPath: repository.path, [Symbol.asyncDispose]: () => all.disposeAsync() }
}
