/** Metrics for a Hub that is put together for a test: what goes wrong in them is thrown. */
import { createMetrics, type Metrics, type MetricsOptions } from './metrics.ts'

export const testMetrics = (options: Omit<MetricsOptions, 'onError'>): Metrics => createMetrics({ ...options, onError: rethrow })

function rethrow(error: unknown): never {
  throw error
}
