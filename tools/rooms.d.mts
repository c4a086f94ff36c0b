/** Types of `rooms.mjs`. */
export function architecturePage(): string
