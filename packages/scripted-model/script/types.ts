/** What a script says once it has been read: plain values without a trace of YAML. */

export interface Script {
  /** How its mistakes and its calls name it: the file's path, or the name given beside its text. */
  readonly name: string
  /** The only key that is accepted; without it every key is. */
  readonly apiKey: string | undefined
  /** The only models that exist; without it every model does. */
  readonly models: readonly string[] | undefined
  readonly conversations: readonly Conversation[]
  /** The answer to a request that no conversation covers. */
  readonly otherwise: Reply
}

export interface Conversation {
  /** Part of the text of the prompt that it answers; without it every prompt. */
  readonly match: string | undefined
  /** Reply n answers the request that carries n assistant turns since the prompt. */
  readonly replies: readonly Reply[]
}

export interface Reply {
  readonly thinking: string | undefined
  readonly text: string | undefined
  readonly tools: readonly ScriptedTool[]
  readonly stopReason: string | undefined
  readonly usage: UsageOverride
  /** Pause before each event of a stream; once before a plain answer. */
  readonly delayMs: number
  readonly error: ScriptedError | undefined
  /** How many of the first calls fail (by `error` or `cutAfterEvents`); without it all of them. */
  readonly times: number | undefined
  /** The connection is destroyed after so many events. */
  readonly cutAfterEvents: number | undefined
  /** Plays a provider that generates more than it was asked for. */
  readonly ignoreMaxTokens: boolean
}

export interface ScriptedTool {
  readonly name: string
  readonly input: Readonly<Record<string, unknown>>
}

export interface ScriptedError {
  readonly status: number
  readonly type: string
  readonly message: string
  readonly headers: Readonly<Record<string, string>>
  /** Sent inside a stream that began with 200, after so many of the reply's events. */
  readonly afterEvents: number | undefined
}

/** Token counts that replace the computed ones, one by one. */
export interface UsageOverride {
  readonly input: number | undefined
  readonly output: number | undefined
  readonly cacheRead: number | undefined
  readonly cacheWrite5m: number | undefined
  readonly cacheWrite1h: number | undefined
}

export const NO_OVERRIDE: UsageOverride = { input: undefined, output: undefined, cacheRead: undefined, cacheWrite5m: undefined, cacheWrite1h: undefined }

export const EMPTY_REPLY: Reply = {
  thinking: undefined,
  text: undefined,
  tools: [],
  stopReason: undefined,
  usage: NO_OVERRIDE,
  delayMs: 0,
  error: undefined,
  times: undefined,
  cutAfterEvents: undefined,
  ignoreMaxTokens: false,
}
