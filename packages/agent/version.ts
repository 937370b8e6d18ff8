/** The version that the agent registers with. */
export const AGENT_VERSION = '0.1.0'
