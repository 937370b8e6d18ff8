/** The scripted model as a provider of a place's Hub, set by the command as a person would. */
import assert from 'node:assert/strict'
import type { Place } from './command.ts'

export interface ProviderWish {
  readonly name?: string
  readonly key?: string
  /** A provider that is not simulated counts as a real one: its agent is treated as hostile. */
  readonly simulated?: boolean
}

export async function setProvider(place: Place, url: string, { name = 'scripted', key = 'test', simulated = true }: ProviderWish = {}): Promise<void> {
  const args = ['provider', 'set', name, '--base-url', url, '--default-model', 'claude-sonnet-5', '--key-stdin', ...(simulated ? ['--simulated'] : [])]
  const { code, stderr } = await place.run(args, { input: `${key}\n` })
  assert.equal(code, 0, stderr)
}
