/** The letters of a peer's flags, each once. */
export const letters = (flags: string): string[] => [...new Set(flags.replace(/\s/g, ''))];
