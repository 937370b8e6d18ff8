/** When checkpoints of a project's machines are taken by themselves: what asks for one, and how close two may be. */
import { z } from 'zod'

const RISKY_PATTERNS_MAX = 50
const RISKY_PATTERN_CHARS_MAX = 100
/** A word as it is typed. Quotes, brackets and what parts one command from the next are in no word that is compared, so a pattern with them would never fit. */
const WORD = /[^\s\p{Cc}\p{Cs}"'`\\(){};&|<>]+/u.source
/** Ten words at most: each is compared with each of a command. */
const WORDS = new RegExp(`^${WORD}(?: ${WORD}){0,9}$`, 'u')

const RiskyPattern = z
  .string()
  .max(RISKY_PATTERN_CHARS_MAX)
  .regex(WORDS, 'must be one to ten words with one space between them, without quotes, brackets, < > ; & |; a * stands for any characters of a word')

export const TriggerSettings = z.object({
  after_response: z
    .enum(['always', 'when-files-changed', 'never'])
    .describe('After a step of the agent: each of them, those whose tools may have changed files, or none'),
  before_risky: z.boolean().describe('Before a command that may lose or publish work, while something is not kept yet'),
  risky_patterns: z
    .array(RiskyPattern)
    .max(RISKY_PATTERNS_MAX)
    .describe('Commands that count as risky besides: words that follow one another in a command, * for any characters of a word'),
  every_minutes: z.int().min(0).max(1440).describe('When so many minutes have passed since the last one; 0 is never'),
  every_budget_percent: z
    .int()
    .refine((percent) => percent === 0 || (percent >= 5 && percent <= 50), 'must be 0, or from 5 to 50')
    .describe('Whenever so much of the budget of the run is spent: 5 to 50; 0 is never'),
  at_end: z.boolean().describe('At the end of a run, also when no file has changed since the last one; what has changed is kept in any case'),
  floor_seconds: z
    .int()
    .min(0)
    .max(3600)
    .describe('The least time from one to the next; what is asked for sooner is taken together afterwards. Not for a start, a risk to changes, and an end'),
})
export type TriggerSettings = z.infer<typeof TriggerSettings>

/** For projects that set none. Without a floor: a checkpoint costs an agent milliseconds and its next step seconds, and whoever goes back wants to go back to any step. */
export const DEFAULT_TRIGGERS: TriggerSettings = {
  after_response: 'when-files-changed',
  before_risky: true,
  risky_patterns: [],
  every_minutes: 5,
  every_budget_percent: 10,
  at_end: true,
  floor_seconds: 0,
}

export const PutProjectTriggers = TriggerSettings.partial().describe('What is left out is as by default')
export type PutProjectTriggers = z.infer<typeof PutProjectTriggers>
