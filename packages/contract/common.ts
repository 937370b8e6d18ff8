/** Shapes that every resource shares: times, pages, waiting, plain JSON. */
import { z } from 'zod'

/** UTC, ISO-8601, milliseconds. */
export const Time = z.iso.datetime()

export const Json = z.json()
export type Json = z.infer<typeof Json>

/** SHA-256 in lower-case hex. */
export const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits')

/** `limit` above the maximum clamps; `cursor` is opaque and grants nothing (AIP-158). */
export const PageQuery = z.object({
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .transform((n) => Math.min(n, 1000))
    .default(100),
  cursor: z.string().max(200).optional(),
})
export type PageQuery = z.infer<typeof PageQuery>

export const pageOf = <T extends z.ZodType>(item: T) => z.object({ items: z.array(item), next_cursor: z.string().nullable() })
export interface Page<T> {
  readonly items: T[]
  readonly next_cursor: string | null
}

/** `GET …/{id}/wait?for=STATE&timeout=SECONDS`: answers at once when the state is reached, or any state from which it cannot be. */
export const waitQuery = <const S extends readonly [string, ...string[]]>(states: S) =>
  z.object({ for: z.enum(states), timeout: z.coerce.number().min(0).max(60).default(30) })
