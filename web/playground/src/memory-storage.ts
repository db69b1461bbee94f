/** What is typed here, secrets of providers included, is gone with the page: nothing of it stays in the browser. */
export function createMemoryStorage() {
  const items = new Map<string, string>()
  return {
    getItem: (key: string): string | null => items.get(key) ?? null,
    setItem: (key: string, value: string): void => void items.set(key, value),
    removeItem: (key: string): void => void items.delete(key),
    clear: (): void => items.clear(),
    get length(): number {
      return items.size
    },
  }
}
