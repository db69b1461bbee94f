/** When a worker that died is started again, and when that is of no use any more. */
export interface RestartPolicy {
  /**
   * Notes that a worker died.
   *
   * @returns how long to wait before the next start; undefined when it has died too often to go on
   */
  died(nowMs: number): number | undefined
}

export interface RestartSettings {
  /** So many deaths within the window are a crash loop. */
  deathsMax: number
  windowMs: number
  /** Doubles with each death within the window. What a dead worker has left open must be closed within a minute. */
  delayMsMin: number
  delayMsMax: number
}

export const restartSettingsDefault: RestartSettings = {
  deathsMax: 6,
  windowMs: 60_000,
  delayMsMin: 100,
  delayMsMax: 5_000,
}

/** For one worker. */
export function createRestartPolicy(settings: RestartSettings = restartSettingsDefault): RestartPolicy {
  let deaths: number[] = []
  return {
    died(nowMs) {
      deaths = [...deaths.filter((atMs) => nowMs - atMs < settings.windowMs), nowMs]
      if (deaths.length >= settings.deathsMax) return undefined
      return Math.min(settings.delayMsMin * 2 ** (deaths.length - 1), settings.delayMsMax)
    },
  }
}
