/** How an endpoint is listed: what it takes, as a type, and what is read of its answer. */
import type { z } from 'zod'

/** What goes into a form: flags become 1 and 0, what is undefined is left out. */
export type FormValue = string | number | boolean | readonly string[] | undefined

export interface Endpoint<P, R> {
  readonly returns: z.ZodType<R>
  /** Never there at run time: it carries the type. */
  readonly parameters?: P
}

export const endpoint =
  <P extends object>() =>
  <R>(returns: z.ZodType<R>): Endpoint<P, R> => ({ returns })
