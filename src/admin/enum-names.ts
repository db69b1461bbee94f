/** Columns are written small, and enums large. */
export const enumName = <Name extends string>(text: string): Name => text.toUpperCase().replaceAll('-', '_') as Name

/** The way back; only for columns that are written with dashes. */
export const dashedName = (name: string): string => name.toLowerCase().replaceAll('_', '-')
