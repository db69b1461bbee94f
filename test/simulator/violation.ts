/** A promise was broken. */
export class Violation extends Error {}
