/** @returns the token behind "Bearer"; undefined for what has none that could be one of ours */
export const bearerIn = (authorization: string): string | undefined => /^Bearer ([\w.-]+)$/.exec(authorization)?.[1]
