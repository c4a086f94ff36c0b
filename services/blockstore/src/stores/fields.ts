/** Settings of object stores, as they are typed. */

/** What is left of a value of five settings. */
export type Five = [string, string, string, string, string]

export const withScheme = (url: string): string => (/^https?:\/\//.test(url) ? url : `https://${url}`)
