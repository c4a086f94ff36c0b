export function placesOfPages(docs: readonly string[]): Map<string, string>
export function siteText(file: string, text: string, places: ReadonlyMap<string, string>): string
