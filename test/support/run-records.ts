/** What `run` and `attach` may say with --json, line by line. */
import { Checkpoint, Operation, OperationStep, Project, Run, Step } from '@autovibe/contract'
import { z } from 'zod'

const Next = z.array(z.object({ command: z.string(), when: z.string() }))

export const RunRecord = z.discriminatedUnion('type', [
  z.object({ type: z.literal('imported'), project: Project, uploaded: z.boolean(), leftovers: z.record(z.string(), z.array(z.string())) }),
  z.object({ type: z.literal('created'), run: Run, operation_id: Operation.shape.id }),
  z.object({ type: z.literal('operation_step'), kind: z.string(), name: z.string(), state: OperationStep.shape.state }),
  z.object({ type: z.literal('operation_ended'), kind: z.string(), state: Operation.shape.state, error: Operation.shape.error }),
  z.object({ type: z.literal('tool_started'), name: z.string(), summary: z.string() }),
  z.object({ type: z.literal('step_finished'), step: Step, spent: Run.shape.spent, limit: Run.shape.limit }),
  z.object({ type: z.literal('checkpoint'), checkpoint: Checkpoint }),
  z.object({ type: z.literal('check_finished'), check: Run.shape.check_result.unwrap() }),
  z.object({ type: z.literal('run_state'), state: Run.shape.state, reason: z.string().nullable() }),
  z.object({ type: z.literal('notice'), event: z.string(), text: z.string() }),
  z.object({
    type: z.literal('result'),
    run: Run,
    steps: z.array(Step),
    checkpoints: z.array(Checkpoint),
    diff: z.object({ files: z.int(), added_lines: z.int(), removed_lines: z.int() }).nullable(),
    refusal: z.null(),
    next: Next,
  }),
])
