/** Cuts texts and step records to what the door takes, and says so inside them. */
import { DOOR_LIMITS, type StepFinished } from '@autovibe/contract'

/** Of the agent's closing words as much as the door takes. */
export const SUMMARY_MAX = 16_000

/** The text in at most `most` characters, with the cut named; characters that a database cannot hold are left out. */
export function clip(text: string, most: number): string {
  // A half of a surrogate pair or a NUL is valid JSON text, and refused by PostgreSQL.
  const clean = text.replaceAll('\u0000', '').toWellFormed()
  if (clean.length <= most) return clean
  const note = ` [… ${clean.length - most} characters left out]`
  return clean.slice(0, Math.max(0, most - note.length)).toWellFormed() + note.slice(0, most)
}

/** One line for a list: white space and control characters folded, at most `most` characters. */
export function oneLine(text: string, most = 200): string {
  const folded = text
    .slice(0, most * 8)
    .toWellFormed()
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
  return folded.length <= most ? folded : `${folded.slice(0, most - 1).toWellFormed()}…`
}

const TEXT_MAX = 16_000
const TOOLS_MAX = 100
/** Room for the envelope around the data. */
const DATA_BYTES_MAX = DOOR_LIMITS.eventBytes - 2_048

/** The record within the door's limits: at most 100 tools, and all texts shortened by halves until the whole fits. */
export function fitStep(step: StepFinished): StepFinished {
  for (let share = 1; ; share /= 2) {
    const fitted: StepFinished = {
      index: step.index,
      model: clip(step.model, 200),
      message_id: step.message_id === null ? null : clip(step.message_id, 200),
      text: clip(step.text, Math.floor(TEXT_MAX * share)),
      tools: step.tools
        .slice(0, TOOLS_MAX)
        .map((tool) => ({ ...tool, name: oneLine(tool.name, Math.ceil(100 * share)), summary: oneLine(tool.summary, Math.ceil(200 * share)) })),
    }
    if (share < 1 / 64 || Buffer.byteLength(JSON.stringify(fitted)) <= DATA_BYTES_MAX) return fitted
  }
}
