// Original file: proto/thinkpixel/llmgw/v1/common.proto

/**
 * What is counted and billed. The kinds are disjoint: INPUT holds only the prompt tokens that no other input kind
 * holds. Kinds are tokens unless their name says items, milliseconds, characters, pages or calls.
 */
export const UnitKind = {
  /**
   * Never sent.
   */
  UNIT_KIND_UNSPECIFIED: 'UNIT_KIND_UNSPECIFIED',
  /**
   * Prompt tokens.
   */
  UNIT_KIND_INPUT: 'UNIT_KIND_INPUT',
  /**
   * Prompt tokens read from the provider's cache.
   */
  UNIT_KIND_CACHE_READ: 'UNIT_KIND_CACHE_READ',
  /**
   * Prompt tokens written to a cache that lives five minutes.
   */
  UNIT_KIND_CACHE_WRITE_5M: 'UNIT_KIND_CACHE_WRITE_5M',
  /**
   * Prompt tokens written to a cache that lives an hour.
   */
  UNIT_KIND_CACHE_WRITE_1H: 'UNIT_KIND_CACHE_WRITE_1H',
  /**
   * Audio in the prompt.
   */
  UNIT_KIND_INPUT_AUDIO: 'UNIT_KIND_INPUT_AUDIO',
  /**
   * Audio in the prompt, read from the provider's cache.
   */
  UNIT_KIND_CACHE_READ_AUDIO: 'UNIT_KIND_CACHE_READ_AUDIO',
  /**
   * Audio in the prompt, written to the provider's cache.
   */
  UNIT_KIND_CACHE_WRITE_AUDIO: 'UNIT_KIND_CACHE_WRITE_AUDIO',
  /**
   * Images in the prompt.
   */
  UNIT_KIND_INPUT_IMAGE: 'UNIT_KIND_INPUT_IMAGE',
  /**
   * Video in the prompt.
   */
  UNIT_KIND_INPUT_VIDEO: 'UNIT_KIND_INPUT_VIDEO',
  /**
   * Completion tokens.
   */
  UNIT_KIND_OUTPUT: 'UNIT_KIND_OUTPUT',
  /**
   * Completion tokens spent on reasoning.
   */
  UNIT_KIND_REASONING: 'UNIT_KIND_REASONING',
  /**
   * Audio in the answer.
   */
  UNIT_KIND_OUTPUT_AUDIO: 'UNIT_KIND_OUTPUT_AUDIO',
  /**
   * Images in the answer.
   */
  UNIT_KIND_OUTPUT_IMAGE: 'UNIT_KIND_OUTPUT_IMAGE',
  /**
   * Video in the answer.
   */
  UNIT_KIND_OUTPUT_VIDEO: 'UNIT_KIND_OUTPUT_VIDEO',
  /**
   * Calls.
   */
  UNIT_KIND_REQUEST: 'UNIT_KIND_REQUEST',
  /**
   * Web searches made by the provider.
   */
  UNIT_KIND_SEARCH: 'UNIT_KIND_SEARCH',
  /**
   * Images in the prompt, by the piece.
   */
  UNIT_KIND_INPUT_IMAGE_ITEM: 'UNIT_KIND_INPUT_IMAGE_ITEM',
  /**
   * Images in the answer, by the piece.
   */
  UNIT_KIND_OUTPUT_IMAGE_ITEM: 'UNIT_KIND_OUTPUT_IMAGE_ITEM',
  /**
   * Audio in the prompt, by its length.
   */
  UNIT_KIND_INPUT_AUDIO_MS: 'UNIT_KIND_INPUT_AUDIO_MS',
  /**
   * Video in the prompt, by its length.
   */
  UNIT_KIND_INPUT_VIDEO_MS: 'UNIT_KIND_INPUT_VIDEO_MS',
  /**
   * Audio in the answer, by its length.
   */
  UNIT_KIND_OUTPUT_AUDIO_MS: 'UNIT_KIND_OUTPUT_AUDIO_MS',
  /**
   * Video in the answer, by its length.
   */
  UNIT_KIND_OUTPUT_VIDEO_MS: 'UNIT_KIND_OUTPUT_VIDEO_MS',
  /**
   * A machine's time.
   */
  UNIT_KIND_RUNTIME_MS: 'UNIT_KIND_RUNTIME_MS',
  /**
   * Characters of the prompt.
   */
  UNIT_KIND_INPUT_CHARACTER: 'UNIT_KIND_INPUT_CHARACTER',
  /**
   * Characters of the answer.
   */
  UNIT_KIND_OUTPUT_CHARACTER: 'UNIT_KIND_OUTPUT_CHARACTER',
  /**
   * Pages of documents in the prompt.
   */
  UNIT_KIND_INPUT_PAGE: 'UNIT_KIND_INPUT_PAGE',
} as const;

/**
 * What is counted and billed. The kinds are disjoint: INPUT holds only the prompt tokens that no other input kind
 * holds. Kinds are tokens unless their name says items, milliseconds, characters, pages or calls.
 */
export type UnitKind =
  /**
   * Never sent.
   */
  | 'UNIT_KIND_UNSPECIFIED'
  | 0
  /**
   * Prompt tokens.
   */
  | 'UNIT_KIND_INPUT'
  | 1
  /**
   * Prompt tokens read from the provider's cache.
   */
  | 'UNIT_KIND_CACHE_READ'
  | 2
  /**
   * Prompt tokens written to a cache that lives five minutes.
   */
  | 'UNIT_KIND_CACHE_WRITE_5M'
  | 3
  /**
   * Prompt tokens written to a cache that lives an hour.
   */
  | 'UNIT_KIND_CACHE_WRITE_1H'
  | 4
  /**
   * Audio in the prompt.
   */
  | 'UNIT_KIND_INPUT_AUDIO'
  | 5
  /**
   * Audio in the prompt, read from the provider's cache.
   */
  | 'UNIT_KIND_CACHE_READ_AUDIO'
  | 6
  /**
   * Audio in the prompt, written to the provider's cache.
   */
  | 'UNIT_KIND_CACHE_WRITE_AUDIO'
  | 7
  /**
   * Images in the prompt.
   */
  | 'UNIT_KIND_INPUT_IMAGE'
  | 8
  /**
   * Video in the prompt.
   */
  | 'UNIT_KIND_INPUT_VIDEO'
  | 9
  /**
   * Completion tokens.
   */
  | 'UNIT_KIND_OUTPUT'
  | 10
  /**
   * Completion tokens spent on reasoning.
   */
  | 'UNIT_KIND_REASONING'
  | 11
  /**
   * Audio in the answer.
   */
  | 'UNIT_KIND_OUTPUT_AUDIO'
  | 12
  /**
   * Images in the answer.
   */
  | 'UNIT_KIND_OUTPUT_IMAGE'
  | 13
  /**
   * Video in the answer.
   */
  | 'UNIT_KIND_OUTPUT_VIDEO'
  | 14
  /**
   * Calls.
   */
  | 'UNIT_KIND_REQUEST'
  | 15
  /**
   * Web searches made by the provider.
   */
  | 'UNIT_KIND_SEARCH'
  | 16
  /**
   * Images in the prompt, by the piece.
   */
  | 'UNIT_KIND_INPUT_IMAGE_ITEM'
  | 17
  /**
   * Images in the answer, by the piece.
   */
  | 'UNIT_KIND_OUTPUT_IMAGE_ITEM'
  | 18
  /**
   * Audio in the prompt, by its length.
   */
  | 'UNIT_KIND_INPUT_AUDIO_MS'
  | 19
  /**
   * Video in the prompt, by its length.
   */
  | 'UNIT_KIND_INPUT_VIDEO_MS'
  | 20
  /**
   * Audio in the answer, by its length.
   */
  | 'UNIT_KIND_OUTPUT_AUDIO_MS'
  | 21
  /**
   * Video in the answer, by its length.
   */
  | 'UNIT_KIND_OUTPUT_VIDEO_MS'
  | 22
  /**
   * A machine's time.
   */
  | 'UNIT_KIND_RUNTIME_MS'
  | 23
  /**
   * Characters of the prompt.
   */
  | 'UNIT_KIND_INPUT_CHARACTER'
  | 24
  /**
   * Characters of the answer.
   */
  | 'UNIT_KIND_OUTPUT_CHARACTER'
  | 25
  /**
   * Pages of documents in the prompt.
   */
  | 'UNIT_KIND_INPUT_PAGE'
  | 26

/**
 * What is counted and billed. The kinds are disjoint: INPUT holds only the prompt tokens that no other input kind
 * holds. Kinds are tokens unless their name says items, milliseconds, characters, pages or calls.
 */
export type UnitKind__Output = typeof UnitKind[keyof typeof UnitKind]
