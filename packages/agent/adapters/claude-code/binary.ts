/** Finds the Claude Code binary among the installed agents. */
import { access, constants } from 'node:fs/promises'
import { join } from 'node:path'
import process from 'node:process'

/** The path of the binary for this platform, or undefined. It is inside the platform's npm package; the wrapper package would need its install script. */
export async function findClaude(agents: string | null): Promise<string | undefined> {
  if (agents === null) return undefined
  const modules = join(agents, 'claude-code', 'node_modules', '@anthropic-ai')
  const platform = `claude-code-${process.platform}-${process.arch}`
  const candidates = [join(modules, platform, 'claude'), join(modules, `${platform}-musl`, 'claude'), join(modules, 'claude-code', 'bin', 'claude.exe')]
  for (const candidate of candidates) if (await isExecutable(candidate)) return candidate
  return undefined
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK)
    return true
  } catch {
    // Not there, or not ours to run: the next candidate may be.
    return false
  }
}
