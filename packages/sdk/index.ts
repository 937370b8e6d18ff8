/** What the SDK offers. */
export { AutovibeError } from '@autovibe/contract'
export { Autovibe } from './client.ts'
export type { ConnectionChange, EventFilter, StreamOptions } from './events.ts'
export { ExecError, type ExecExit, type ExecProcess } from './exec.ts'
export type { List } from './pages.ts'
export type { SourceOf } from './projects.ts'
export type { AutovibeOptions, CallOptions } from './transport.ts'
export type { WaitOptions } from './waiting.ts'
