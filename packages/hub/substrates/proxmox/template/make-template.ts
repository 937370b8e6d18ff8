/** The two things that a person asks for: the lines that make a token for the making, and the making itself with that token. */
import { type AskTemplateGrants, AutovibeError, type BuiltTemplate, type TemplateGrants } from '@autovibe/contract'
import type { z } from 'zod'
import type { ClientLimits } from '../client/limits.ts'
import { buildLines } from '../client/template-needs.ts'
import { openClient } from '../cluster.ts'
import { abandon } from './abandon.ts'
import { build } from './build.ts'
import { sumOf } from './image.ts'
import { type BuildTarget, planOf, siteOf, type Wish } from './plan.ts'
import { Seed } from './seed.ts'
import { type BuildPatience, grantsCommand, PATIENCE, type Tell } from './site.ts'

export const templateGrants = (asked: z.output<typeof AskTemplateGrants>, target: BuildTarget): TemplateGrants => ({
  token_id: `${asked.user}!${asked.token}`,
  ...buildLines(siteOf(asked, target), asked),
})

export interface MakeOptions {
  readonly tell: Tell
  readonly signal: AbortSignal
  readonly patience?: BuildPatience
  readonly limits?: Partial<ClientLimits>
}

export type Made = { readonly template: BuiltTemplate } | { readonly removed: readonly string[] }

/** The secret is in the client's memory until this ends, and nowhere else. */
export async function makeTemplate(wish: Wish, target: BuildTarget, { tell, signal, patience = PATIENCE, limits }: MakeOptions): Promise<Made> {
  if (wish.token_id === target.config.token_id)
    throw new AutovibeError('request.invalid', `${wish.token_id} is the Hub's own token, which shall not be able to make templates.`, {
      fix: `See the lines that make another: ${grantsCommand({ ...siteOf(wish, target), substrate: target.name, buildBridge: wish.bridge })}`,
    })
  const seedOf = await Seed.read(wish.network)
  // Whoever takes everything away needs no image.
  const sha256 = wish.abandon ? (wish.image_sha256 ?? '') : await sumOf(wish.image_url, wish.image_sha256, signal)
  const plan = planOf(wish, target, sha256, seedOf)
  const client = openClient({ ...target, config: { ...target.config, token_id: wish.token_id }, tokenSecret: wish.token_secret }, limits)
  try {
    const site = { client, tokenId: wish.token_id, plan, patience, tell, signal }
    return wish.abandon ? { removed: await abandon(site) } : { template: await build(site) }
  } finally {
    await client.close()
    await plan.seed.close()
  }
}
