/** Perl's patterns, as Proxmox's description holds them, said in JavaScript. */

const known = new Map<string, RegExp | null>()

/** Perl's `^pattern$`, or null for a pattern that JavaScript cannot take. Alternatives at its top are not grouped: Proxmox does not group them either. */
export function perlPattern(pattern: string): RegExp | null {
  const before = known.get(pattern)
  if (before !== undefined) return before
  const made = compile(pattern)
  known.set(pattern, made)
  return made
}

function compile(pattern: string): RegExp | null {
  const translated = pattern
    // A compiled pattern inside another carries its own flags: (?^:…) none, (?^i:…) case folded.
    .replaceAll('(?^:', '(?:')
    .replaceAll('(?^i:', '(?i:')
    // Perl since 5.34 reads {,16} as {0,16}.
    .replace(/\{,(\d+)\}/g, '{0,$1}')
  try {
    // Perl's $ also stands before a last line feed.
    return new RegExp(`^${translated}(?:\\n)?$`)
  } catch {
    return null
  }
}

/** The patterns below a schema, however deep. */
export function patternsOf(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return []
  return Object.entries(schema).flatMap(([key, value]) => (key === 'pattern' && typeof value === 'string' ? [value] : patternsOf(value)))
}
