/** The stand-in for a provider of models: an HTTP server on loopback that answers from a script file. */

export type { CallOutcome, RecordedCall } from './record.ts'
export { loadScript, parseScript } from './script/load.ts'
export type { Conversation, Reply, Script, ScriptedError, ScriptedTool, UsageOverride } from './script/types.ts'
export { type ScriptedModel, type ScriptedModelOptions, type ScriptSource, startScriptedModel } from './server.ts'
export type { MessageUsage } from './wire/usage.ts'
