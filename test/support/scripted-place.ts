/** Where most of the end-to-end tests play: a place of its own with a Hub, a scripted model as its provider, and the demo's repository. */
import assert from 'node:assert/strict'
import { type ScriptedModel, startScriptedModel } from '@autovibe/scripted-model'
import { makePlace, type Place } from './command.ts'
import { demoRepository, type Repository } from './demo-project.ts'
import { setProvider } from './scripted.ts'

export interface ScriptedPlace {
  readonly place: Place
  readonly model: ScriptedModel
  readonly repository: Repository
  /** Ends the Hub and the model, and removes both folders. */
  close(): Promise<void>
}

/** Opens it with the Hub up. */
export async function openScriptedPlace(script: Parameters<typeof startScriptedModel>[0]['script']): Promise<ScriptedPlace> {
  const place = await makePlace()
  const model = await startScriptedModel({ script })
  const repository = await demoRepository()
  assert.equal((await place.run(['up'])).code, 0)
  await setProvider(place, model.url)
  return {
    place,
    model,
    repository,
    async close() {
      await place.remove()
      await model.close()
      await repository.remove()
    },
  }
}
