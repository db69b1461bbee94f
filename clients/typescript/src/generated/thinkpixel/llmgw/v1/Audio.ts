// Original file: proto/thinkpixel/llmgw/v1/chat.proto


/**
 * Recorded speech or other sound.
 */
export interface Audio {
  /**
   * Such as `wav` or `mp3`. Required.
   */
  'format'?: (string);
  /**
   * The bytes as they are, not in base64.
   */
  'data'?: (Buffer | Uint8Array | string);
}

/**
 * Recorded speech or other sound.
 */
export interface Audio__Output {
  /**
   * Such as `wav` or `mp3`. Required.
   */
  'format': (string);
  /**
   * The bytes as they are, not in base64.
   */
  'data': (Buffer);
}
